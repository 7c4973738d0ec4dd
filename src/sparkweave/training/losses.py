"""What training minimizes, for classes and for numbers.

A network predicts numbers standardized, ``(target - mean) / deviation``, so that a learning rate suits them whatever their unit;
losses are told in the targets' own unit. Weights of examples are divided by their mean over all examples, and each
batch's loss is the mean over its examples, so that averages over workers and steps by examples are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.nn import functional as F

from sparkweave.config import TrainingConfig
from sparkweave.data.batches import Batch
from sparkweave.training.task import SegmentTask

_OF_NUMBERS: Mapping[str, tuple[Callable[..., torch.Tensor], int]] = {"mse": (F.mse_loss, 2), "l1": (F.l1_loss, 1)}


def loss_of(output: torch.Tensor, batch: Batch, task: SegmentTask) -> torch.Tensor:
    """The mean loss of a batch that is not empty.

    Args:
        output: float32 (N, classes) logits, or (N, 1) standardized numbers.
        batch: What the network has seen.
        task: Says which loss.
    """
    config = task.config
    if task.target is None:
        if batch.weights is None:
            return F.cross_entropy(output, batch.targets, label_smoothing=config.label_smoothing)
        each = F.cross_entropy(output, batch.targets, label_smoothing=config.label_smoothing, reduction="none")
        return _mean(each, batch, task)
    function, _ = _OF_NUMBERS[_name(config)]
    targets = (batch.targets - task.target.mean) / task.target.deviation
    return _mean(function(output[:, 0], targets, reduction="none"), batch, task)


def loss_unit(task: SegmentTask) -> float:
    """What a loss of 1 is in the targets' own unit."""
    if task.target is None:
        return 1.0
    _, power = _OF_NUMBERS[_name(task.config)]
    return task.target.deviation**power


def correct_of(output: torch.Tensor, batch: Batch) -> torch.Tensor:
    """How many of a batch's classes are right; 0 where numbers are predicted."""
    if batch.targets.is_floating_point():
        return torch.zeros((), dtype=torch.int64, device=output.device)
    return (output.argmax(dim=1) == batch.targets).sum()


def _name(config: TrainingConfig) -> str:
    return "mse" if config.loss == "auto" else config.loss


def _mean(each: torch.Tensor, batch: Batch, task: SegmentTask) -> torch.Tensor:
    if batch.weights is None or task.mean_weight is None:
        return each.mean()
    return (each * batch.weights / task.mean_weight).mean()
