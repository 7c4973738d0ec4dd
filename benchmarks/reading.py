"""From an archive to shards that can be trained on, on two cores, against reading it in one process; and decoders."""

from __future__ import annotations

import importlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from benchmarks.command import heading, journal, parser, settings
from benchmarks.comparison import HEADER, Comparison, figure, say, table
from benchmarks.images import read_entries, smaller
from benchmarks.workers import Seat, Workers
from sparkweave import build_session, read_image_archives
from sparkweave.data.archive import ArchiveLimits
from sparkweave.data.image_rows import IMAGE_ROWS, image_array
from sparkweave.data.images import decode, use_one_thread
from sparkweave.data.labels import label_of
from sparkweave.data.shard import drain
from sparkweave.data.splits import plan_splits, read_split
from sparkweave.filesystem import LocalFileSystem
from sparkweave.spark.archives import IMAGE_COLUMNS
from sparkweave.spark.chained import bound, map_batches
from sparkweave.spark.dataset import sharded

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Pixels = npt.NDArray[np.uint8]

WORKERS = 2
WARM_RUNS = 5
TARGETS = {"pillow": ">= 5", "cv2": ">= 1.8", "own": "", "bound": "", "blank": ""}
NAMES = {
    "first": "sparkweave on local[2], first run in a session",
    "second": "sparkweave on local[2], second run",
    "warm": f"sparkweave on local[2], the {WARM_RUNS} runs after that (median)",
    "pillow": "one process, zipfile + Pillow",
    "cv2": "one process, zipfile + cv2.imdecode",
    "own": "one process, sparkweave's own reader and decoder",
    "bound": "two processes, sparkweave's own reader and decoder, half of the images each",
    "blank": "the same Spark jobs on blank images, nothing read or decoded",
}


def main() -> None:
    options = parser("reading", __doc__, rounds=5).parse_args()
    log = journal(options)
    print(heading("Reading", options), flush=True)
    use_one_thread()
    with tempfile.TemporaryDirectory(prefix="sparkweave-benchmark-") as folder:
        archive = smaller(options.data / "train.zip", options.images, Path(folder))
        rounds = []
        for number in range(options.rounds):
            key = {"row": "reading", "round": number, **settings(options)}
            rounds.append(log.take(key, partial(_round, str(archive))))
            say(", ".join(f"{name} {speed:,.0f} images/s" for name, speed in rounds[-1].items()))
        _report(rounds)
        _decoders([content for _, content in read_entries(archive, 10_000)], options.rounds)


def _round(archive: str) -> dict[str, float]:
    """Images a second of each way, one after the other; the session is new, its start is not counted."""
    spark = build_session("local[2]")
    try:
        on_spark = partial(read_on_spark, spark, archive)
        speeds = {name: _speed(on_spark) for name in ("first", "second")}
        speeds["warm"] = statistics.median(_speed(on_spark) for _ in range(WARM_RUNS))
        blank = partial(deal_blank, spark, images=on_spark())
        speeds["blank"] = statistics.median(_speed(blank) for _ in range(WARM_RUNS))
    finally:
        spark.stop()
    one_process = {
        "pillow": partial(read_zip, archive, _by_pillow),
        "cv2": partial(read_zip, archive, _by_cv2),
        "own": partial(read_own, archive),
    }
    speeds |= {name: _speed(read) for name, read in one_process.items()}
    with Workers(WORKERS) as workers:
        read = partial(_read_by_all, workers, archive)
        read()
        return speeds | {"bound": _speed(read)}


def _speed(read: Callable[[], int]) -> float:
    began = time.perf_counter()
    count = read()
    return count / (time.perf_counter() - began)


def read_on_spark(spark: SparkSession, archive: str) -> int:
    """Reads, decodes and deals out the images, and drains the shards in a barrier job."""
    return _deal(read_image_archives(spark, archive))


def deal_blank(spark: SparkSession, *, images: int) -> int:
    """What Spark, grouping and draining take of `read_on_spark`: as many tasks, with black images out of nothing."""
    tasks = 3 * WORKERS  # as `read_image_archives` splits the archive
    indexes = spark.range(0, tasks, 1, numPartitions=tasks)
    return _deal(map_batches(indexes, bound(blank_images, count=images // tasks), IMAGE_COLUMNS))


def blank_images(batches: Iterable[pa.RecordBatch], *, count: int) -> Iterator[pa.RecordBatch]:
    """Task: so many black images for each row."""
    pixels = np.zeros((28, 28, 1), np.uint8)
    for batch in batches:
        for split in batch.column(0).to_pylist():
            labels = [str(number % 10) for number in range(count)]
            paths = [f"{split}.zip!/{label}_{number}.png" for number, label in enumerate(labels)]
            columns = [pa.array(paths), pa.array(labels), image_array([pixels] * count), pa.nulls(count, pa.string())]
            yield pa.RecordBatch.from_arrays(columns, schema=IMAGE_ROWS)


def _deal(df: DataFrame) -> int:
    with sharded(df, shards=WORKERS, seed=0, level="MEMORY_AND_DISK", max_bad_fraction=0.0) as (blocks, summary):
        task = partial(drain_shard, labels=summary.labels, shape=summary.shape)
        rows = blocks.mapInArrow(task, "examples bigint", barrier=True).collect()
    return sum(row["examples"] for row in rows)


def drain_shard(
    batches: Iterable[pa.RecordBatch], *, labels: tuple[str, ...], shape: tuple[int, int, int]
) -> Iterator[pa.RecordBatch]:
    """Barrier task: what a worker does before it trains."""
    from pyspark import BarrierTaskContext

    shard = drain(batches, rank=BarrierTaskContext.get().partitionId(), labels=labels, shape=shape)
    yield pa.RecordBatch.from_pydict({"examples": [len(shard)]})


def read_zip(archive: str, decoder: Callable[[bytes], Pixels]) -> int:
    """A plain loop over the ZIP to arrays of pixels and labels."""
    with ZipFile(archive) as file:
        names = file.namelist()
        pixels = np.stack([decoder(file.read(name)) for name in names])
    labels = np.array([int(name.split("_")[0]) for name in names])
    return len(labels) if len(pixels) == len(labels) else 0


def read_own(archive: str, part: int = 0, parts: int = 1) -> int:
    """The product's reader, limits and decoder, without Spark, on one of so many parts."""
    use_one_thread()
    fs, limits = LocalFileSystem(), ArchiveLimits()
    pixels, labels = [], []
    for split in plan_splits(fs, [archive], count=parts, limits=limits)[part::parts]:
        for name, content, reason in read_split(fs, split, limits):
            if content is None:
                raise ValueError(f"{name}: {reason}")
            pixels.append(decode(content))
            labels.append(label_of(name))
    return len(np.stack(pixels))


def _read_by_all(workers: Workers, archive: str) -> int:
    """What this machine's cores can do at best: no Spark, no shuffle."""
    return sum(workers.run(_read_part, archive=archive))


def _read_part(seat: Seat, archive: str) -> int:
    return read_own(archive, seat.rank, seat.count)


def _by_pillow(content: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(content)))


def _by_cv2(content: bytes) -> Pixels:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)


def _report(rounds: list[dict[str, float]]) -> None:
    speeds = {name: [found[name] for found in rounds] for name in NAMES}
    rows = [
        Comparison(
            name=f"{NAMES[ours]} against {NAMES[theirs]}",
            first=speeds[ours],
            second=speeds[theirs],
            target="" if ours == "first" else TARGETS[theirs],
        ).cells()
        for theirs in TARGETS
        for ours in ("first", "second", "warm")
    ]
    print("Images a second:\n\n" + table(HEADER, rows), flush=True)


def _decoders(contents: list[bytes], rounds: int) -> None:
    """Decoding alone, from memory, on one thread."""
    decoders: dict[str, Callable[[bytes], Pixels]] = {
        "Pillow": _by_pillow,
        "cv2.imdecode": _by_cv2,
        "sparkweave.data.images.decode (header checked first)": lambda content: decode(content)[..., 0],
        **_torchvision(),
    }
    expected = [_by_pillow(content) for content in contents]
    speeds: dict[str, list[float]] = {name: [] for name in decoders}
    for _ in range(rounds):
        for name, decoder in decoders.items():
            began = time.perf_counter()
            decoded = [decoder(content) for content in contents]
            speeds[name].append(len(contents) / (time.perf_counter() - began))
            if not all(np.array_equal(*pair) for pair in zip(decoded, expected, strict=True)):
                raise ValueError(f"{name} decodes other pixels than Pillow")
    rows = []
    for name, found in speeds.items():
        ratios = [speed / pillow for speed, pillow in zip(found, speeds["Pillow"], strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        rows.append([name, figure(statistics.median(found)), spread, "same as Pillow's"])
    print(
        f"\nDecoding {len(contents):,} images from memory, one thread:\n\n"
        + table(("decoder", "images a second", "against Pillow", "pixels"), rows),
        flush=True,
    )
    if len(decoders) == 3:
        print("\ntorchvision is not installed here: not measured.", flush=True)


def _torchvision() -> dict[str, Callable[[bytes], Pixels]]:
    """Torchvision's decoder, where that package is installed; the product does not need it."""
    try:
        io_module: Any = importlib.import_module("torchvision.io")
        torch: Any = importlib.import_module("torch")
    except (ImportError, RuntimeError):
        return {}
    torch.set_num_threads(1)

    def decode_image(content: bytes) -> Pixels:
        data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        return io_module.decode_image(data, io_module.ImageReadMode.GRAY)[0].numpy()  # type: ignore[no-any-return]

    return {"torchvision.io.decode_image": decode_image}


if __name__ == "__main__":
    main()
