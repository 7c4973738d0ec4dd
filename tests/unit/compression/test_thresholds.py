"""How the threshold goes on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweave.compression.quantize import usable_threshold
from sparkweave.compression.thresholds import THRESHOLD_ALGORITHMS
from sparkweave.compression.update import Floats

fractions = st.floats(0, 1)
thresholds = st.floats(2.0**-90, 2.0**90)


def none() -> Floats:
    raise AssertionError("a sample was made and is not needed")


@given(threshold=thresholds, fraction=fractions)
def test_a_fixed_one_stays(threshold: float, fraction: float) -> None:
    assert THRESHOLD_ALGORITHMS["fixed"](1e-3).next_threshold(threshold, fraction, none) == threshold


@given(threshold=thresholds)
@pytest.mark.parametrize(
    ("fraction", "factor"),
    [(0, 0.965936), (9e-5, 0.965936), (1e-4, 1), (1e-2, 1), (1.1e-2, 1 / 0.965936), (1, 1 / 0.965936)],
)
def test_an_adaptive_one_keeps_the_fraction_within_its_bounds(threshold: float, fraction: float, factor: float) -> None:
    following = THRESHOLD_ALGORITHMS["adaptive"](0.5).next_threshold(threshold, fraction, none)
    assert following == pytest.approx(threshold * factor)


@pytest.mark.parametrize("fraction", [1e-3, 1e-2, 0.5, 1.0])
def test_one_with_a_target_is_exceeded_by_so_many(fraction: float) -> None:
    sample = np.abs(np.random.default_rng(0).standard_normal(10_000)).astype(np.float32)
    threshold = THRESHOLD_ALGORITHMS["target-sparsity"](fraction).next_threshold(1.0, 0.0, sample.copy)
    assert np.count_nonzero(sample >= np.float32(threshold)) == round(fraction * len(sample))


@pytest.mark.parametrize("sample", [[], [0.0, 0.0], [float("nan")], [float("inf")]], ids=str)
def test_where_no_target_can_be_found_the_last_threshold_stays(sample: list[float]) -> None:
    magnitudes = np.array(sample, np.float32)
    assert THRESHOLD_ALGORITHMS["target-sparsity"](0.5).next_threshold(0.25, 0.0, lambda: magnitudes) == 0.25


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_it_never_leaves_what_can_be_used(fraction: float) -> None:
    threshold, algorithm = 1.0, THRESHOLD_ALGORITHMS["adaptive"](0.5)
    for _ in range(5000):
        threshold = algorithm.next_threshold(threshold, fraction, none)
    assert threshold in (2.0**-100, 2.0**100)
    assert usable_threshold(threshold) == threshold
