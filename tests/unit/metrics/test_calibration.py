"""Reliability bins and their error are torchmetrics', and merge exactly."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sparkweave.errors import ConfigError
from sparkweave.metrics.calibration import BINS, Calibration

torchmetrics = pytest.importorskip("torchmetrics.functional.classification")


@given(st.integers(2, 6), st.integers(1, 200), st.integers(0, 2**32), st.sampled_from([0.1, 1.0, 10.0]))
def test_the_error_is_that_of_torchmetrics(classes: int, size: int, seed: int, sharpness: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    probabilities = (torch.randn(size, classes, generator=generator) * sharpness).softmax(dim=1)
    actual = torch.randint(classes, (size,), generator=generator)
    confidence, predicted = probabilities.max(dim=1)
    assume(float(confidence.max()) < 1)  # torchmetrics has a bin of its own for these
    calibration = Calibration()
    calibration.update(confidence.numpy(), (predicted == actual).numpy())
    expected = torchmetrics.multiclass_calibration_error(
        probabilities, actual, num_classes=classes, n_bins=BINS, norm="l1"
    )
    assert calibration.error == pytest.approx(float(expected), abs=1e-5)


def test_bins_have_their_mean_confidence_and_accuracy() -> None:
    calibration = Calibration()
    calibration.update(np.array([0.25, 0.21, 0.99, 1.0]), np.array([True, False, True, True]))
    low, high = calibration.bins
    assert (low.low, low.high, low.examples) == (pytest.approx(0.2), pytest.approx(4 / 15), 2)
    assert (low.confidence, low.accuracy) == (pytest.approx(0.23), 0.5)
    assert (high.high, high.examples, high.confidence, high.accuracy) == (1, 2, pytest.approx(0.995), 1)
    assert calibration.error == pytest.approx((2 * 0.27 + 2 * 0.005) / 4)


def test_before_the_first_example_there_are_no_bins() -> None:
    assert Calibration().bins == []
    assert np.isnan(Calibration().error)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=40),
    st.lists(st.integers(0, 40), max_size=3),
    st.randoms(),
)
@settings(max_examples=50)
def test_any_cut_and_any_order_of_merges_gives_the_same_counts(
    examples: list[tuple[float, bool]], cuts: list[int], order: Any
) -> None:
    def counted(part: list[tuple[float, bool]]) -> dict[str, list[int]]:
        calibration = Calibration()
        calibration.update(np.array([score for score, _ in part]), np.array([right for _, right in part], bool))
        return calibration.to_dict()

    bounds = [0, *sorted(min(cut, len(examples)) for cut in cuts), len(examples)]
    parts = [counted(examples[start:end]) for start, end in itertools.pairwise(bounds)]
    order.shuffle(parts)
    merged = Calibration()
    for part in parts:
        merged.merge(Calibration.from_dict(part))
    assert merged.to_dict() == counted(examples)


@pytest.mark.parametrize("value", [[1], [0.5] * BINS, [-1] * BINS, ["1"] * BINS, None, [[1], [1, 2]]])
def test_what_are_no_counts_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"examples are"):
        Calibration.from_dict({**Calibration().to_dict(), "examples": value})
