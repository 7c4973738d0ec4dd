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

from sparkweave.data.blocks import KEY, Shape
from sparkweave.errors import ResourceError

_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.ENOENT)
PAYLOAD = ("inputs", "keys", "targets", "weights", "classes")


@dataclasses.dataclass(frozen=True)
class Shard:
    """Examples in the order of their keys, whatever order they arrived in.

    Attributes:
        inputs: uint8 (examples, height, width, channels) or float32 (examples, numbers), as they arrived; memory-mapped.
        targets: int64 class indexes, or float32 numbers, as they arrived.
        order: Positions in the two above, by key.
        weights: float32, as they arrived, or None where all weigh the same.
    """

    inputs: npt.NDArray[Any]
    targets: npt.NDArray[Any]
    order: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.order)

    def select(self, start: int, stop: int) -> Shard:
        """The examples that arrived from ``start`` up to, but not including, ``stop``."""
        order = self.order[(self.order >= start) & (self.order < stop)] - start
        weights = None if self.weights is None else self.weights[start:stop]
        return Shard(self.inputs[start:stop], self.targets[start:stop], order, weights)


def drain(
    batches: Iterable[pa.RecordBatch],
    *,
    rank: int,
    labels: Sequence[str],
    shape: Shape,
    directory: str | None = None,
) -> Shard:
    """Writes the blocks of one shard to a file that is mapped and has no name any more: a killed worker leaves nothing.

    Args:
        batches: Blocks, see `sparkweave.data.blocks`; only those of shard ``rank`` may be among them.
        rank: The shard.
        labels: All labels, in the order of the classes; empty where numbers are to be predicted.
        shape: Of an example, see `sparkweave.data.blocks.Shape`.
        directory: Where the file is made; Spark's local directory by default.

    Raises:
        ResourceError: if the disk is full, or can't be written to.
    """
    index = {label: position for position, label in enumerate(labels)}
    keys, targets, weights = [], [], []
    directory = directory or local_directory()
    try:
        with tempfile.TemporaryFile(prefix=f"sparkweave-shard-{rank}-", dir=directory) as file:
            for row in _rows(batches, rank):
                file.write(row["inputs"].as_buffer())
                keys.append(np.frombuffer(row["keys"].as_buffer(), KEY))
                targets.append(_targets(row, index))
                if row["weights"].is_valid:
                    weights.append(np.frombuffer(row["weights"].as_buffer(), np.float32))
            file.flush()
            inputs = _mapped(file.fileno(), sum(map(len, keys)), shape)
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise  # the input's: its connection broke
        raise ResourceError(
            f"rank {rank} can't write its shard to {directory} ({error.strerror}); "
            "free space there or set spark.local.dir to a larger disk"
        ) from error
    whole = Shard(
        inputs,
        np.concatenate([np.empty(0, np.int64 if labels else np.float32), *targets]),
        np.empty(0, np.int64),
        np.concatenate(weights) if weights else None,
    )
    return dataclasses.replace(whole, order=_order(np.concatenate([np.empty(0, KEY), *keys]), whole))


def _targets(row: dict[str, Any], index: dict[str, int]) -> npt.NDArray[Any]:
    """Indexes into all labels instead of the block's own, or the numbers as they are."""
    if not index:
        return np.frombuffer(row["targets"].as_buffer(), np.float32)
    to_index = np.array([index[label] for label in row["classes"].as_py()], np.int64)
    return to_index[np.frombuffer(row["targets"].as_buffer(), np.int32)]


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


def _mapped(descriptor: int, count: int, shape: Shape) -> npt.NDArray[Any]:
    dtype, whole = (np.float32, shape) if len(shape) == 1 else (np.uint8, (shape[1], shape[2], shape[0]))
    if count == 0:
        return np.empty((0, *whole), dtype)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return np.memmap(file, dtype, mode="r", shape=(count, *whole))


def _order(keys: npt.NDArray[np.uint64], shard: Shard) -> npt.NDArray[np.int64]:
    """Positions by key; examples of one key (a path that came twice) by their content."""

    def content(position: int) -> tuple[Any, ...]:
        weight = 1.0 if shard.weights is None else shard.weights[position]
        return (shard.targets[position], shard.inputs[position].tobytes(), weight)

    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    for key in np.unique(ordered[1:][ordered[1:] == ordered[:-1]]):
        first, last = np.searchsorted(ordered, key, "left"), np.searchsorted(ordered, key, "right")
        order[first:last] = sorted(order[first:last], key=content)
    return order
