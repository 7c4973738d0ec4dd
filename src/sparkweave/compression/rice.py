"""Entropy-coded gaps between the entries that change: near the least that positions without a pattern can take.

A gap is cut into a quotient by 2**k, written in unary, and k lower bits (Rice, Some Practical Universal Noiseless Coding Techniques,
JPL 1979; the codes of Golomb, Run-Length Encodings, 1966, for powers of two). With the sign, an entry of a fraction d that changes at
random takes about log2(1/d) + 2.5 bits. Layers differ in how much of them changes, so k is chosen anew for every 64 entries.

Quotients and lower bits are kept apart, in two runs of bits, so that NumPy can write and read each at once.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from sparkweave.compression.update import Indices, Signs, SparseUpdate

_BLOCK = 64
_MOST_LOWER_BITS = 30
_Bits = npt.NDArray[np.uint8]


class Rice:
    """A byte k a block of entries; then the lower bits of each gap with its sign as the last; then the quotients."""

    name: ClassVar[str] = "rice"
    tag: ClassVar[int] = 2

    def length(self, update: SparseUpdate) -> int:
        """See `Codec.length`."""
        if not update.count:
            return 0
        gaps = _gaps(update.indices)
        lower = _lower_bits(gaps)
        widths = _spread(lower, len(gaps))
        lower_bits = int(widths.sum()) + len(gaps)
        return len(lower) + _bytes(lower_bits) + _bytes(int((gaps >> widths).sum()) + len(gaps))

    def encode(self, update: SparseUpdate) -> bytes:
        """See `Codec.encode`."""
        if not update.count:
            return b""
        gaps = _gaps(update.indices)
        lower = _lower_bits(gaps)
        widths = _spread(lower, len(gaps))
        quotients = gaps >> widths
        rests = ((gaps - (quotients << widths)) << 1) | update.negative
        ends = np.cumsum(quotients + 1) - 1
        unary = np.zeros(int(ends[-1]) + 1, np.uint8)
        unary[ends] = 1
        planes = (_write(rests, widths + 1), unary)
        return lower.astype(np.uint8).tobytes() + b"".join(np.packbits(plane).tobytes() for plane in planes)

    def decode(self, payload: bytes, size: int, count: int) -> tuple[Indices, Signs]:
        """See `Codec.decode`."""
        if not count:
            _require(not payload, "nothing changes, and there are bytes that say what")
            return np.empty(0, np.int64), np.empty(0, np.bool_)
        blocks = -(-count // _BLOCK)
        _require(count <= 8 * len(payload) and blocks < len(payload), f"{count} entries take more bytes than there are")
        content = np.frombuffer(payload, np.uint8)
        lower = content[:blocks].astype(np.int64)
        _require(bool((lower <= _MOST_LOWER_BITS).all()), f"more than {_MOST_LOWER_BITS} lower bits")
        widths = _spread(lower, count)
        lower_bits = int(widths.sum()) + count
        split = blocks + _bytes(lower_bits)
        _require(split < len(content), f"{count} entries take more bytes than there are")
        rests = _read(_bits(content[blocks:split], lower_bits), widths + 1)
        quotients = _read_unary(content[split:], count)
        _require(bool((quotients <= size >> widths).all()), f"an index is not below {size}")
        gaps = (quotients << widths) | (rests >> 1)
        return np.cumsum(gaps + 1) - 1, (rests & 1).astype(np.bool_)


def _gaps(indices: Indices) -> Indices:
    """How many entries between each and the one before stay as they are."""
    return np.diff(indices, prepend=-1) - 1


def _lower_bits(gaps: Indices) -> Indices:
    """The k of each block that takes fewest bits, out of three around the logarithm of its mean gap."""
    starts = np.arange(0, len(gaps), _BLOCK)
    counts = np.diff(starts, append=len(gaps))
    mean = np.add.reduceat(gaps, starts) / counts
    around = np.floor(np.log2(np.maximum(mean * np.log(2), 1))).astype(np.int64)
    candidates = np.clip(around + np.array([[-1], [0], [1]]), 0, _MOST_LOWER_BITS)
    bits = [
        np.add.reduceat(gaps >> np.repeat(candidate, counts), starts) + candidate * counts for candidate in candidates
    ]
    best: Indices = candidates[np.argmin(bits, axis=0), np.arange(len(starts))]
    return best


def _spread(lower: Indices, count: int) -> Indices:
    """Each block's k, entry by entry."""
    return np.repeat(lower, _BLOCK)[:count]


def _write(numbers: Indices, widths: Indices) -> _Bits:
    """The bits of ``numbers``, each of its width, the highest first."""
    number, place = _places(widths)
    bits: _Bits = ((numbers[number] >> place) & 1).astype(np.uint8)
    return bits


def _read(bits: _Bits, widths: Indices) -> Indices:
    """The inverse of `_write`."""
    _, place = _places(widths)
    starts = np.cumsum(widths) - widths
    numbers: Indices = np.add.reduceat(bits.astype(np.int64) << place, starts)
    return numbers


def _places(widths: Indices) -> tuple[Indices, Indices]:
    """For each bit of a run: whose number's it is, and what power of two it stands for there."""
    ends = np.cumsum(widths)
    number = np.repeat(np.arange(len(widths)), widths)
    return number, np.repeat(ends, widths) - 1 - np.arange(len(number))


def _read_unary(content: _Bits, count: int) -> Indices:
    bits = np.unpackbits(content)
    ends = np.flatnonzero(bits)
    _require(len(ends) == count and len(bits) - int(ends[-1]) <= 8, f"these are no {count} quotients")
    return np.diff(ends, prepend=-1) - 1


def _bits(content: _Bits, count: int) -> _Bits:
    bits = np.unpackbits(content)
    _require(not bits[count:].any(), "the bits that fill the last byte are not zero")
    return bits[:count]


def _bytes(bits: int) -> int:
    return -(-bits // 8)


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)
