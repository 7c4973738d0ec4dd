"""Gaps between the entries that change, by their numbers of bits in a Huffman code made for each update.

Real updates change in clusters: a unit with a large error or input changes in many weights, others in none. So gaps are short or
long, which one k of Rice's code doesn't fit: of LeNet trained with SGD this takes 1 to 3 bits less an entry, with Adam 0.1. Where positions
have no pattern it takes 0.1 bits more, and a table of about 10 bytes.

Gap g of class c, 2**c <= g < 2**(c + 1), is the codeword of c and the c bits after its highest one, as DEFLATE does with distances (RFC 1951).
Source of the code: Huffman, A Method for the Construction of Minimum-Redundancy Codes (1952).

All codewords' first bits come first, then the second bits of those that have one, and so on. So NumPy reads all entries at once, in
as many rounds as the longest codeword has bits; one after the other it would be a loop in Python.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from sparkweave.compression.bits import BitReader, Bits, pack, write_numbers
from sparkweave.compression.update import Indices, Signs, SparseUpdate

_MOST_CLASSES = 31
_LONGEST = 14
_MOST_TIMES_RAREST = 1000


class Huffman:
    """A byte, the number of classes; a nibble each, its codeword's length plus 1, or 0; the codewords; signs and lower bits."""

    name: ClassVar[str] = "huffman"
    tag: ClassVar[int] = 4

    def length(self, update: SparseUpdate) -> int:
        """See `Codec.length`."""
        counts: list[int] = np.bincount(_classes(update.gaps)).tolist()
        entries = enumerate(zip(counts, code_lengths(counts), strict=True))
        bits = 4 * len(counts) + sum(count * (length + 1 + c) for c, (count, length) in entries)
        return 1 + -(-bits // 8)

    def encode(self, update: SparseUpdate) -> bytes:
        """See `Codec.encode`."""
        classes = _classes(update.gaps)
        lengths = code_lengths(np.bincount(classes).tolist())
        table = write_numbers(np.array(lengths, np.int64) + 1, np.full(len(lengths), 4))
        tops = 1 << classes
        lower = np.where(update.negative, update.gaps, update.gaps - tops)  # the highest one's place is the sign's
        return bytes([len(lengths)]) + pack(
            table, _write_codewords(classes, lengths), write_numbers(lower, classes + 1)
        )

    def decode(self, payload: bytes, size: int, count: int) -> tuple[Indices, Signs]:
        """See `Codec.decode`."""
        if not payload or payload[0] > _MOST_CLASSES:
            raise ValueError(f"its first byte is no number of classes up to {_MOST_CLASSES}")
        if count > 8 * len(payload):
            raise ValueError(f"{count} entries take more bytes than there are")
        reader = BitReader(payload[1:])
        lengths = (reader.take_numbers(np.full(payload[0], 4)) - 1).tolist()
        _require_complete(lengths, count)
        classes = _take_codewords(reader, lengths, count)
        lower = reader.take_numbers(classes + 1)
        reader.finish()
        tops = 1 << classes
        return np.cumsum(lower | tops) - 1, lower >= tops


def code_lengths(counts: Sequence[int]) -> list[int]:
    """The length of each class's codeword, by how often it occurs; -1 for a class that doesn't.

    Rare classes count as a thousandth of all. So all counts are at most 1,031 times the least, and a codeword of n bits needs F(n + 2) times it
    (F are Fibonacci's numbers); F(17) is 1,597, so there are at most 14 bits.
    """
    least = -(-sum(counts) // _MOST_TIMES_RAREST)
    heap: list[tuple[int, tuple[int, ...]]] = [(max(count, least), (c,)) for c, count in enumerate(counts) if count]
    heapq.heapify(heap)
    lengths = [0 if count else -1 for count in counts]
    while len(heap) > 1:
        (fewest, some), (few, others) = heapq.heappop(heap), heapq.heappop(heap)
        for c in some + others:
            lengths[c] += 1
        heapq.heappush(heap, (fewest + few, some + others))
    return lengths


def _classes(gaps: Indices) -> Indices:
    return np.frexp(gaps.astype(np.float64))[1].astype(np.int64) - 1


def _require_complete(lengths: Sequence[int], count: int) -> None:
    """Any bits must be codewords, so that each entry has one."""
    share = sum(2.0**-length for length in lengths if length >= 0)
    if share != (1 if count else 0):
        raise ValueError("its codewords' lengths are none of a Huffman code")


def _codewords(lengths: Sequence[int]) -> list[tuple[int, int, int]]:
    """Length, class and codeword of each class, in the order of the canonical code: shorter ones first."""
    codeword, last, found = 0, 0, []
    for length, c in sorted((length, c) for c, length in enumerate(lengths) if length >= 0):
        codeword, last = codeword << length - last, length
        found.append((length, c, codeword))
        codeword += 1
    return found


def _write_codewords(classes: Indices, lengths: Sequence[int]) -> Bits:
    places = np.arange(max(lengths, default=0))[:, None]
    bits = np.zeros((len(places), len(lengths)), np.uint8)
    for length, c, codeword in _codewords(lengths):
        bits[:length, c] = [codeword >> length - 1 - place & 1 for place in range(length)]
    is_there = places < np.array(lengths, np.int64)
    written: Bits = bits.take(classes, axis=1)[is_there.take(classes, axis=1)]
    return written


def _take_codewords(reader: BitReader, lengths: Sequence[int], count: int) -> Indices:
    """The class of each of ``count`` entries.

    The canonical code's codewords of a length are consecutive numbers, below all longer ones' first bits.
    """
    codewords = _codewords(lengths)
    ordered = np.array([c for _, c, _ in codewords], np.int64)
    classes = np.zeros(count, np.int64)
    open_entries, read = np.arange(count), np.zeros(count, np.int64)
    ended, first = 0, 0  # classes with shorter codewords, and the first codeword of this length
    for length in range(max(lengths, default=-1) + 1):
        if length:
            read, first = read << 1 | reader.take(len(open_entries)), first << 1
        end = first + sum(1 for other, _, _ in codewords if other == length)
        is_ending = read < end
        classes[open_entries[is_ending]] = ordered[read[is_ending] - first + ended]
        open_entries, read = open_entries[~is_ending], read[~is_ending]
        ended, first = ended + end - first, end
    return classes
