"""One worker's examples in a memory-mapped file, so that a shard larger than memory trains too."""

from __future__ import annotations

import dataclasses
import errno
import os
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sparkweave.data.blocks import KEY
from sparkweave.errors import ResourceError

_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.ENOENT)
PAYLOAD = ("pixels", "keys", "codes", "classes")


@dataclasses.dataclass(frozen=True)
class Shard:
    """Examples in the order of their keys, whatever order they arrived in.

    Attributes:
        pixels: uint8 (examples, height, width, channels), as they arrived; memory-mapped.
        labels: int64 class indexes, as they arrived.
        order: Positions in the two above, by key.
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.order)


def drain(
    batches: Iterable[pa.RecordBatch],
    *,
    rank: int,
    labels: Sequence[str],
    shape: tuple[int, int, int],
    directory: str | None = None,
) -> Shard:
    """Writes the blocks of one shard to a file that is mapped and has no name any more: a killed worker leaves nothing.

    Args:
        batches: Blocks, see `sparkweave.data.blocks`; only those of shard ``rank`` may be among them.
        rank: The shard.
        labels: All labels, in the order of the classes.
        shape: (channels, height, width) of the images.
        directory: Where the file is made; Spark's local directory by default.

    Raises:
        ResourceError: if the disk is full, or can't be written to.
    """
    channels, height, width = shape
    index = {label: position for position, label in enumerate(labels)}
    keys, codes, count = [], [], 0
    directory = directory or local_directory()
    try:
        with tempfile.TemporaryFile(prefix=f"sparkweave-shard-{rank}-", dir=directory) as file:
            for row in _rows(batches, rank):
                file.write(row["pixels"].as_buffer())
                keys.append(np.frombuffer(row["keys"].as_buffer(), KEY))
                to_index = np.array([index[label] for label in row["classes"].as_py()], np.int64)
                codes.append(to_index[np.frombuffer(row["codes"].as_buffer(), np.int32)])
                count += len(codes[-1])
            file.flush()
            pixels = _mapped(file.fileno(), (count, height, width, channels))
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise  # the input's: its connection broke
        raise ResourceError(
            f"rank {rank} can't write its shard to {directory} ({error.strerror}); "
            "free space there or set spark.local.dir to a larger disk"
        ) from error
    classes = np.concatenate([np.empty(0, np.int64), *codes])
    return Shard(pixels, classes, _order(np.concatenate([np.empty(0, KEY), *keys]), classes, pixels))


def local_directory() -> str:
    """The first of Spark's local directories inside a task, the system's temporary one elsewhere."""
    spark = os.environ.get("SPARK_LOCAL_DIRS", "").split(",")[0]
    return spark if spark and os.path.isdir(spark) else tempfile.gettempdir()


def _rows(batches: Iterable[pa.RecordBatch], rank: int) -> Iterable[dict[str, Any]]:
    for batch in batches:
        for position in range(batch.num_rows):
            row = {name: batch.column(name)[position] for name in ("shard", "examples", *PAYLOAD)}
            if row["examples"].as_py() == 0:
                continue
            if row["shard"].as_py() != rank:
                raise ValueError(f"a block of shard {row['shard'].as_py()} came to rank {rank}")
            yield row


def _mapped(descriptor: int, shape: tuple[int, int, int, int]) -> npt.NDArray[np.uint8]:
    if shape[0] == 0:
        return np.empty(shape, np.uint8)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return np.memmap(file, np.uint8, mode="r", shape=shape)


def _order(
    keys: npt.NDArray[np.uint64], labels: npt.NDArray[np.int64], pixels: npt.NDArray[np.uint8]
) -> npt.NDArray[np.int64]:
    """Positions by key; examples of one key (a path that came twice) by their content."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    for key in np.unique(ordered[1:][ordered[1:] == ordered[:-1]]):
        first, last = np.searchsorted(ordered, key, "left"), np.searchsorted(ordered, key, "right")
        tied = order[first:last]
        order[first:last] = sorted(tied, key=lambda position: (labels[position], pixels[position].tobytes()))
    return order
