"""How the threshold goes on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweave.compression.quantize import usable_threshold
from sparkweave.compression.thresholds import THRESHOLD_ALGORITHMS

fractions = st.floats(0, 1)
thresholds = st.floats(2.0**-90, 2.0**90)


@given(threshold=thresholds, fraction=fractions)
def test_a_fixed_one_stays(threshold: float, fraction: float) -> None:
    assert THRESHOLD_ALGORITHMS["fixed"](1e-3).next_threshold(threshold, fraction) == threshold


@given(threshold=thresholds)
@pytest.mark.parametrize(
    ("fraction", "factor"),
    [(0, 0.965936), (9e-5, 0.965936), (1e-4, 1), (1e-2, 1), (1.1e-2, 1 / 0.965936), (1, 1 / 0.965936)],
)
def test_an_adaptive_one_keeps_the_fraction_within_its_bounds(threshold: float, fraction: float, factor: float) -> None:
    following = THRESHOLD_ALGORITHMS["adaptive"](0.5).next_threshold(threshold, fraction)
    assert following == pytest.approx(threshold * factor)


def test_one_with_a_target_comes_near_it() -> None:
    threshold, algorithm = 1.0, THRESHOLD_ALGORITHMS["target-sparsity"](1e-2)
    for _ in range(60):
        threshold = algorithm.next_threshold(threshold, min(1.0, 1e-5 / usable_threshold(threshold)))
    assert threshold == pytest.approx(1e-3, rel=0.1)


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_it_never_leaves_what_can_be_used(fraction: float) -> None:
    threshold, algorithm = 1.0, THRESHOLD_ALGORITHMS["adaptive"](0.5)
    for _ in range(5000):
        threshold = algorithm.next_threshold(threshold, fraction)
    assert threshold in (2.0**-100, 2.0**100)
    assert usable_threshold(threshold) == threshold
