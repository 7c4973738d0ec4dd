"""The classical form: a signed 32-bit number an entry, as Strom and Deeplearning4j send it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sparkweave.compression.update import Indices, Signs, SparseUpdate


class Sparse:
    """The index plus 1, negative where the entry falls, little-endian: 4 bytes an entry."""

    name: ClassVar[str] = "sparse"
    tag: ClassVar[int] = 1

    def length(self, update: SparseUpdate) -> int:
        """See `Codec.length`."""
        return 4 * update.count

    def encode(self, update: SparseUpdate) -> bytes:
        """See `Codec.encode`."""
        numbers = update.indices + 1
        return np.where(update.negative, -numbers, numbers).astype("<i4").tobytes()

    def decode(self, payload: bytes, size: int, count: int) -> tuple[Indices, Signs]:
        """See `Codec.decode`."""
        if len(payload) != 4 * count:
            raise ValueError(f"{count} entries take {4 * count} bytes, and there are {len(payload)}")
        numbers = np.frombuffer(payload, "<i4").astype(np.int64)
        if not numbers.all():
            raise ValueError("an entry has no number")
        return np.abs(numbers) - 1, numbers < 0
