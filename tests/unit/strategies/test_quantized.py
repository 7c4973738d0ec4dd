"""Quantized updates of tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from tests.unit.compression.updates import THRESHOLDS, residuals

from sparkweave.compression.frame import encode
from sparkweave.errors import TrainingError
from sparkweave.strategies.quantized import Quantized, apply_on_device, take_on_device


@given(residual=residuals(), threshold=THRESHOLDS)
def test_torch_takes_and_applies_what_numpy_does(residual: np.ndarray, threshold: float) -> None:
    theirs, ours = torch.from_numpy(residual.copy()), torch.from_numpy(residual.copy())
    common, other_common = torch.ones(len(residual)), torch.ones(len(residual))
    quantized = Quantized(ours, common)
    update, other = quantized.take(threshold), take_on_device(theirs, threshold)
    assert encode(update) == encode(other)
    assert torch.equal(ours, theirs)
    quantized.apply(update)
    apply_on_device(other, other_common)
    assert torch.equal(common, other_common)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused_on_any_device(value: float) -> None:
    with pytest.raises(TrainingError, match="not finite"):
        take_on_device(torch.tensor([0.5, value]), 0.1)
