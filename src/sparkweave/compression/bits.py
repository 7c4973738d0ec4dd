"""Runs of bits as arrays with a byte for each, so that NumPy writes and reads many numbers at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sparkweave.compression.update import Indices

Bits = npt.NDArray[np.uint8]

_LOWEST = np.arange(32) >= 32 - np.arange(33)[:, None]
"""For each width from 0 to 32, which of 32 bits are the lowest, highest first: bool (33, 32)."""


def pack(*runs: Bits) -> bytes:
    """The runs one after the other, the first bit in the highest of the first byte; zeros fill the last byte."""
    return np.packbits(np.concatenate(runs)).tobytes()


def write_numbers(numbers: Indices, widths: Indices) -> Bits:
    """The lowest ``widths`` (0 to 32) bits of each number, the highest first, one number after the other."""
    spread = np.unpackbits(numbers.astype(">u4").view(np.uint8)).reshape(-1, 32)
    bits: Bits = spread[_LOWEST.take(widths, axis=0)]
    return bits


def write_unary(numbers: Indices) -> Bits:
    """For each number as many zeros, and a one."""
    ends = np.cumsum(numbers + 1) - 1
    bits = np.zeros(int(ends[-1]) + 1 if len(ends) else 0, np.uint8)
    bits[ends] = 1
    return bits


class BitReader:
    """Reads what `pack` has written, from bytes that may be anything."""

    def __init__(self, payload: bytes) -> None:
        self._bits = np.unpackbits(np.frombuffer(payload, np.uint8))
        self._position = 0

    def take(self, count: int) -> Bits:
        """The next ``count`` bits.

        Raises:
            ValueError: if there are fewer.
        """
        start, self._position = self._position, self._position + count
        if self._position > len(self._bits):
            raise ValueError(f"it takes more than the {len(self._bits)} bits that there are")
        return self._bits[start : self._position]

    def take_numbers(self, widths: Indices) -> Indices:
        """The inverse of `write_numbers`.

        Raises:
            ValueError: if there are fewer bits.
        """
        bits = self.take(int(widths.sum()))
        spread = np.zeros((len(widths), 32), np.uint8)
        spread[_LOWEST.take(widths, axis=0)] = bits
        return np.packbits(spread).view(">u4").astype(np.int64)

    def take_unary(self, count: int) -> Indices:
        """The inverse of `write_unary`, of ``count`` numbers and nothing after them.

        Raises:
            ValueError: if there are more, or fewer.
        """
        ends = np.flatnonzero(self._bits[self._position :])
        if len(ends) != count:
            raise ValueError(f"it has {len(ends)} quotients, and {count} entries")
        self._position += int(ends[-1]) + 1 if count else 0
        return np.diff(ends, prepend=-1) - 1

    def finish(self) -> None:
        """Raises ValueError unless only zeros that fill the last byte are left."""
        left = self._bits[self._position :]
        if len(left) > 7 or left.any():
            raise ValueError(f"the {len(left)} bits after its last are not the zeros that fill a byte")
