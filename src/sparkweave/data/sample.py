"""Some images of many, the same ones wherever and in whatever order they are read, and as many for each worker.

Those of each shard whose keys are the smallest are taken. A key is a hash of the seed and the path, so they are spread over
classes and archives alike. It takes two passes: the keys of all come first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sparkweave.data.blocks import KEY, path_keys

KEY_COLUMNS = "keys binary"
_MOST = np.iinfo(KEY).max


def keys_of(batches: Iterable[pa.RecordBatch], *, seed: int) -> Iterator[pa.RecordBatch]:
    """Task: the keys of all rows, a uint64 each, those of one batch in one row of `KEY_COLUMNS`."""
    for batch in batches:
        keys = pa.array([path_keys(batch.column("path"), seed).tobytes()], pa.binary())
        yield pa.RecordBatch.from_arrays([keys], names=["keys"])


def last_keys(keys: npt.NDArray[np.uint64], *, shards: int, most: int) -> tuple[int, ...]:
    """For each shard the largest key that is taken, so that it has ``most`` examples; with fewer, it keeps all.

    Example:
        >>> last_keys(np.array([8, 6, 4, 2, 1], np.uint64), shards=2, most=3)
        (6, 18446744073709551615)
    """
    return tuple(_last(keys[keys % shards == shard], most) for shard in range(shards))


def up_to(batches: Iterable[pa.RecordBatch], *, seed: int, last: tuple[int, ...]) -> Iterator[pa.RecordBatch]:
    """Task: the rows whose keys are not beyond their shard's ``last``."""
    bounds = np.array(last, KEY)
    for batch in batches:
        keys = path_keys(batch.column("path"), seed)
        yield batch.filter(pa.array(keys <= bounds[keys % len(last)]))


def _last(keys: npt.NDArray[np.uint64], most: int) -> int:
    return int(np.partition(keys, most - 1)[most - 1]) if len(keys) > most else int(_MOST)
