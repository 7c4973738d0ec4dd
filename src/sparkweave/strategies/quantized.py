"""One stretch of the parameters: takes quantized updates out of its residual, and applies everyone's.

On the CPU through NumPy, whose search for the few entries above a threshold is several times faster than torch's; on other devices
with torch, so that only those few cross over.
"""

from __future__ import annotations

import numpy as np
import torch

from sparkweave.compression.quantize import DENSE_FACTOR, Quantizer, not_finite, usable_threshold
from sparkweave.compression.update import DenseUpdate, SparseUpdate, Update, apply


class Quantized:
    """A residual, and the parameters that all workers have in common: flat float32 tensors of one size."""

    def __init__(self, residual: torch.Tensor, common: torch.Tensor) -> None:
        self.size = residual.numel()
        self._residual = residual
        self._common = common
        self._quantizer = Quantizer(self.size) if residual.device.type == "cpu" else None

    def take(self, threshold: float) -> Update:
        """What exceeds ``threshold``; the residual keeps the rest.

        Raises:
            TrainingError: if the residual is not finite.
        """
        if self._quantizer is not None:
            return self._quantizer.take(self._residual.numpy(), threshold)
        return take_on_device(self._residual, usable_threshold(threshold))

    def apply(self, update: Update) -> None:
        """Adds ``update`` to the common parameters."""
        if self._quantizer is not None:
            apply(update, self._common.numpy())
        else:
            apply_on_device(update, self._common)


def take_on_device(residual: torch.Tensor, threshold: float) -> Update:
    """What `Quantizer.take` does, where the residual is."""
    magnitude = residual.abs()
    largest = float(magnitude.amax()) if magnitude.numel() else 0.0
    if not np.isfinite(largest):
        raise not_finite()
    if largest >= DENSE_FACTOR * threshold:
        values = residual.cpu().numpy().copy()
        residual.zero_()
        return DenseUpdate(values)
    indices = (magnitude >= threshold).nonzero().flatten()
    negative = residual[indices] < 0
    residual[indices] -= _signed(negative, threshold)
    return SparseUpdate(residual.numel(), threshold, indices.cpu().numpy(), negative.cpu().numpy())


def apply_on_device(update: Update, target: torch.Tensor) -> None:
    """What `sparkweave.compression.update.apply` does, where ``target`` is."""
    if isinstance(update, DenseUpdate):
        target += torch.from_numpy(update.values).to(target.device)
        return
    indices, negative = (torch.from_numpy(array).to(target.device) for array in (update.indices, update.negative))
    target[indices] += _signed(negative, update.threshold)


def _signed(negative: torch.Tensor, threshold: float) -> torch.Tensor:
    return torch.where(negative, -threshold, threshold).to(torch.float32)
