"""Two bits a parameter, however many change and wherever they are. Deeplearning4j sends many changes so."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sparkweave.compression.update import Indices, Signs, SparseUpdate


class Bitmap:
    """Four parameters a byte, the first in the lowest bits: 1 rises, 2 falls, 0 stays."""

    name: ClassVar[str] = "bitmap"
    tag: ClassVar[int] = 3

    def length(self, update: SparseUpdate) -> int:
        """See `Codec.length`."""
        return -(-update.size // 4)

    def encode(self, update: SparseUpdate) -> bytes:
        """See `Codec.encode`."""
        bits = np.zeros(2 * update.size, np.bool_)
        bits[2 * update.indices + update.negative] = True
        return np.packbits(bits, bitorder="little").tobytes()

    def decode(self, payload: bytes, size: int, count: int) -> tuple[Indices, Signs]:
        """See `Codec.decode`."""
        if len(payload) != -(-size // 4):
            raise ValueError(f"{size} parameters take {-(-size // 4)} bytes, and there are {len(payload)}")
        bits = np.unpackbits(np.frombuffer(payload, np.uint8), bitorder="little")
        found = np.flatnonzero(bits.view(np.bool_))  # of booleans is several times faster
        indices = found >> 1  # that each is there once is for the frame to check
        if len(indices) != count or bits[2 * size :].any():
            raise ValueError(f"these are no two bits each of {size} parameters, {count} of which change")
        return indices, (found & 1).astype(np.bool_)
