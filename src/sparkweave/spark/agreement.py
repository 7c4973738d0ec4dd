"""Whether batches, streams and HTTP give the same probabilities for the same files: from the bytes of an image on, each goes its own way."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession

from sparkweave.artifacts.storage import Storage
from sparkweave.errors import DataError
from sparkweave.spark.archives import ENTRY_COLUMNS, read_archive_entries
from sparkweave.spark.chained import bound, map_batches
from sparkweave.spark.dataset import unpersist
from sparkweave.spark.hadoop import Hadoop
from sparkweave.spark.jobs import described
from sparkweave.spark.model import TrainedModel
from sparkweave.spark.sample import sampled
from sparkweave.spark.storage import HadoopStorage
from sparkweave.spark.streaming.assembly import StreamOrder, open_stream

if TYPE_CHECKING:
    from pyspark.sql import Row

Probabilities = Mapping[str, npt.NDArray[np.float32]]
"""By path, float32 (classes,)."""

_ROUNDING = 1e-5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far one way's probabilities are from those of the batch.

    Attributes:
        way: ``stream`` or ``http``.
        images: How many were compared.
        identical: How many have the same bits.
        largest: The largest difference of a probability.
    """

    way: str
    images: int
    identical: int
    largest: float

    @property
    def verdict(self) -> str:
        """``identical``, ``rounding`` (other CPUs) or ``different``."""
        if self.identical == self.images:
            return "identical"
        return "rounding" if self.largest <= _ROUNDING else "different"

    def __str__(self) -> str:
        return (
            f"{self.way}: {self.verdict}; {self.identical:,} of {self.images:,} images have the same bits as in the batch, and "
            f"the largest difference is {self.largest:.3g}"
        )

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return {**dataclasses.asdict(self), "verdict": self.verdict}


def by_batch(model: TrainedModel, df: DataFrame, *, most: int, seed: int = 0) -> Probabilities:
    """What `TrainedModel.transform` gives for usable images of ``df``, ``most`` at most, the same ones each time.

    Args:
        model: Predicts.
        df: As `read_image_archives` returns it.
        most: How many images.
        seed: Of the choice.

    Raises:
        DataError: if there is none.
    """
    with described(df.sparkSession, "predicting in a batch"):
        found = _collected(model.transform(sampled(df, shards=1, most=most, seed=seed)))
    if not found:
        raise DataError("there is not one usable image; give archives of PNG or JPEG images")
    return found


def copied(
    spark: SparkSession, archives: Sequence[str], paths: Iterable[str], *, folder: str, storage: Storage
) -> dict[str, str]:
    """Copies entries of archives into files of a new folder, byte by byte.

    Args:
        spark: The session.
        archives: See `read_image_archives`.
        paths: Of the entries, as it gives them.
        folder: Where to, as ``storage`` resolved it.
        storage: Where that is.

    Returns:
        The path of each, by the name of its file.
    """
    entries = map_batches(read_archive_entries(spark, archives), bound(those_at, paths=list(paths)), ENTRY_COLUMNS)
    chosen = entries.where("content is not null").persist()
    storage.make_folder(folder)
    names = {}
    try:
        with described(spark, "copying images"):
            chosen.count()  # by all tasks together; they come here a partition at a time
            for number, row in enumerate(chosen.toLocalIterator()):
                name = f"{number:06}{os.path.splitext(row['path'])[1]}"
                storage.write(os.path.join(folder, name), bytes(row["content"]))
                names[name] = row["path"]
    finally:
        unpersist(chosen)
    return names


def those_at(batches: Iterable[pa.RecordBatch], *, paths: list[str]) -> Iterator[pa.RecordBatch]:
    """Task: the rows with one of ``paths``."""
    wanted = pa.array(paths, pa.string())
    for batch in batches:
        yield batch.filter(pc.is_in(batch.column("path"), wanted))


def by_stream(spark: SparkSession, order: StreamOrder) -> dict[str, npt.NDArray[np.float32]]:
    """What `sparkweave stream` gives for the files of a folder, by their names.

    Args:
        spark: The session.
        order: The stream; all executors must reach its folders.
    """
    open_stream(spark, order).run(spark, available_now=True)
    found = _collected(spark.read.parquet(HadoopStorage(Hadoop.of(spark.sparkContext)).resolve(order.output)))
    return {os.path.basename(path): probability for path, probability in found.items()}


def compared(way: str, batch: Probabilities, other: Probabilities) -> Agreement:
    """``other`` against the ``batch``.

    Raises:
        DataError: if images are missing in one of them.
    """
    if missing := batch.keys() ^ other.keys():
        raise DataError(f"{len(missing)} images were predicted by one way and not by the other, such as {min(missing)}")
    differences = [np.abs(batch[path] - other[path]) for path in batch]
    return Agreement(
        way=way,
        images=len(batch),
        identical=sum(not difference.any() for difference in differences),
        largest=max(float(difference.max()) for difference in differences),
    )


def _collected(predicted: DataFrame) -> dict[str, npt.NDArray[np.float32]]:
    rows: list[Row] = predicted.where("error is null").select("path", "probability").collect()
    return {row["path"]: np.array(row["probability"], np.float32) for row in rows}
