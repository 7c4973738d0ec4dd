"""The lengths of codewords."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st

from sparkweave.compression.huffman import code_lengths

FIBONACCI = [1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584, 4181, 6765, 10946]


@given(counts=st.lists(st.integers(0, 5) | st.integers(0, 2**31), max_size=31))
@example(counts=FIBONACCI)
@example(counts=[1 << n for n in range(31)])
def test_every_class_that_occurs_has_a_codeword_of_at_most_14_bits_and_all_bits_are_codewords(
    counts: list[int],
) -> None:
    lengths = code_lengths(counts)
    assert [length >= 0 for length in lengths] == [count > 0 for count in counts]
    assert max(lengths, default=0) <= 14
    share = sum(Fraction(1, 1 << length) for length in lengths if length >= 0)
    assert share == (1 if any(counts) else 0)


def test_a_class_of_all_takes_no_bits() -> None:
    assert code_lengths([0, 7, 0]) == [-1, 0, -1]


def test_frequent_classes_have_short_codewords() -> None:
    assert code_lengths([1, 8, 4, 2]) == [3, 1, 2, 3]
