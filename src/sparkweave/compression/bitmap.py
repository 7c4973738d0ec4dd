"""Two bits a parameter: the shortest form where many entries change."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from sparkweave.compression.update import Indices, Signs, SparseUpdate

_SHIFTS = np.array([0, 2, 4, 6], np.uint8)
_UP, _DOWN = 1, 2


class Bitmap:
    """Four parameters a byte, the first in the lowest bits: 1 rises, 2 falls, 0 stays."""

    name: ClassVar[str] = "bitmap"
    tag: ClassVar[int] = 3

    def length(self, update: SparseUpdate) -> int:
        """See `Codec.length`."""
        return -(-update.size // 4)

    def encode(self, update: SparseUpdate) -> bytes:
        """See `Codec.encode`."""
        codes = np.zeros(4 * self.length(update), np.uint8)
        codes[update.indices] = np.where(update.negative, _DOWN, _UP)
        bits: npt.NDArray[np.uint8] = np.bitwise_or.reduce(codes.reshape(-1, 4) << _SHIFTS, axis=1)
        return bits.tobytes()

    def decode(self, payload: bytes, size: int, count: int) -> tuple[Indices, Signs]:
        """See `Codec.decode`."""
        if len(payload) != -(-size // 4):
            raise ValueError(f"{size} parameters take {-(-size // 4)} bytes, and there are {len(payload)}")
        codes = ((np.frombuffer(payload, np.uint8)[:, None] >> _SHIFTS) & 3).reshape(-1)
        indices = np.flatnonzero(codes)
        found = codes[indices]
        if len(indices) != count or (found > _DOWN).any() or (indices >= size).any():
            raise ValueError(f"these are no two bits each of {size} parameters, {count} of which change")
        return indices, found == _DOWN
