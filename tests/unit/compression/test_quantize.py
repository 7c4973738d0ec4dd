"""Taking updates out of residuals."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.compression.updates import THRESHOLDS, residuals

from sparkweave.compression.frame import decode, encode
from sparkweave.compression.quantize import DENSE_FACTOR, Quantizer, usable_threshold
from sparkweave.compression.update import DenseUpdate, SparseUpdate, apply
from sparkweave.errors import TrainingError

Residual = npt.NDArray[np.float32]


@given(residual=residuals(), threshold=THRESHOLDS)
@example(residual=np.array([-0.0, 1e-45, -1e-45], np.float32), threshold=1e-12)
@example(residual=np.array([1.0, 32767.9, -1.0000001], np.float32), threshold=1.0)
@example(residual=np.array([3e38], np.float32), threshold=1e-3)
def test_what_arrives_and_what_is_left_are_the_residual_before_exactly(residual: Residual, threshold: float) -> None:
    before = residual.copy()
    frame = encode(Quantizer(len(residual)).take(residual, threshold))
    arrived = np.zeros_like(residual)
    apply(decode(frame, len(residual)), arrived)
    assert np.array_equal(arrived + residual, before)


@given(residual=residuals(), threshold=THRESHOLDS)
def test_what_reaches_the_threshold_is_sent_and_nothing_else(residual: Residual, threshold: float) -> None:
    before = residual.copy()
    update = Quantizer(len(residual)).take(residual, threshold)
    if isinstance(update, DenseUpdate):
        assert np.abs(before).max() >= DENSE_FACTOR * threshold
        assert not residual.any()
    else:
        assert np.array_equal(update.indices, np.flatnonzero(np.abs(before) >= np.float32(threshold)))
        assert np.array_equal(update.negative, before[update.indices] < 0)
        untouched = np.delete(np.arange(len(before)), update.indices)
        assert np.array_equal(residual[untouched], before[untouched])


def test_a_quantizer_is_used_again_and_again() -> None:
    quantizer, residual = Quantizer(2), np.array([1.25, -0.25], np.float32)
    counts = []
    for _ in range(4):
        counts.append(quantizer.take(residual, 0.5).count)
        residual += np.float32(0.125)
    assert counts == [1, 1, 1, 0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_no_numbers_are_refused(value: float) -> None:
    residual = np.array([0.5, value, 0.25], np.float32)
    with pytest.raises(TrainingError, match="not finite; lower --learning-rate"):
        Quantizer(3).take(residual, 0.1)


@given(st.floats(1e-300, 1e300))
def test_a_usable_threshold_is_a_little_lower_and_stays_as_it_is(threshold: float) -> None:
    usable = usable_threshold(threshold)
    assert usable_threshold(usable) == usable
    assert 2.0**-100 <= usable <= 2.0**100
    if 2.0**-100 <= threshold <= 2.0**100:
        assert threshold * (1 - 2.0**-7) < usable <= np.float32(threshold)
    assert int(np.float32(usable).view(np.uint32)) & 0xFFFF == 0


def test_an_update_says_how_much_it_sends() -> None:
    update = Quantizer(3).take(np.array([0.0, 1.0, -1.0], np.float32), 0.5)
    assert isinstance(update, SparseUpdate)
    assert (update.size, update.count, update.values.tolist()) == (3, 2, [0.5, -0.5])
    dense = DenseUpdate(np.ones(4, np.float32))
    assert (dense.size, dense.count) == (4, 4)
