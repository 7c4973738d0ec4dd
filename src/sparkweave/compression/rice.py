"""Gaps between the entries that change, in Rice's code: near the least that positions without a pattern can take.

A gap is cut into a quotient by 2**k, written in unary, and k lower bits (Rice, Some Practical Universal Noiseless Coding Techniques,
JPL 1979; the codes of Golomb, Run-Length Encodings, 1966, for powers of two). Of a fraction d of the parameters that changes at
random, an entry takes about log2(1/d) + 2.5 bits, its sign included: at most 0.1 more than the entropy.

Lower bits and quotients are kept apart, in two runs of bits, so that NumPy can write and read each at once.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sparkweave.compression.bits import BitReader, pack, write_numbers, write_unary
from sparkweave.compression.update import Indices, Signs, SparseUpdate

_MOST_LOWER_BITS = 31


class Rice:
    """A byte k; then the lower bits of each gap with its sign as the last; then the quotients.

    Wherever they are, n of m entries take at most ``1 + ceil(n * (log2(m / n) + 3) / 8)`` bytes: with ``k = floor(log2(m / n))``
    there are k + 2 bits an entry, and the quotients add up to at most ``(m - n) / 2**k``.
    """

    name: ClassVar[str] = "rice"
    tag: ClassVar[int] = 2

    def length(self, update: SparseUpdate) -> int:
        """See `Codec.length`."""
        _, bits = _best(update.gaps - 1)
        return 1 + -(-bits // 8)

    def encode(self, update: SparseUpdate) -> bytes:
        """See `Codec.encode`."""
        between = update.gaps - 1
        k, _ = _best(between)
        lower = (between & (1 << k) - 1) << 1 | update.negative
        return bytes([k]) + pack(write_numbers(lower, np.full(len(lower), k + 1)), write_unary(between >> k))

    def decode(self, payload: bytes, size: int, count: int) -> tuple[Indices, Signs]:
        """See `Codec.decode`."""
        if not payload or payload[0] > _MOST_LOWER_BITS:
            raise ValueError(f"its first byte is no number of lower bits up to {_MOST_LOWER_BITS}")
        k, reader = payload[0], BitReader(payload[1:])
        if count * (k + 2) > 8 * len(payload):
            raise ValueError(f"{count} entries take more bytes than there are")
        lower = reader.take_numbers(np.full(count, k + 1))
        quotients = reader.take_unary(count)
        reader.finish()
        if (quotients > size >> k).any():
            raise ValueError(f"an index is not below {size}")
        return np.cumsum((quotients << k | lower >> 1) + 1) - 1, (lower & 1).astype(np.bool_)


def _best(between: Indices) -> tuple[int, int]:
    """The k that takes fewest bits for so many unchanged entries before each that changes, and the bits.

    The bits are convex in k, and do not fall any more once 2**k exceeds the mean; so this goes down from there until they rise.
    """
    count = len(between)
    if not count:
        return 0, 0
    k = (int(between.sum()) // count).bit_length()
    fewest = _bits(between, k)
    while k and (bits := _bits(between, k - 1)) <= fewest:
        k, fewest = k - 1, bits
    return k, fewest


def _bits(between: Indices, k: int) -> int:
    return len(between) * (k + 2) + int((between >> k).sum())
