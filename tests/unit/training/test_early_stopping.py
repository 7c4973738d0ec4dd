"""When training ends early, and which state counts."""

from __future__ import annotations

import math

import torch

from sparkweave.events import Evaluated, to_record
from sparkweave.training.early_stopping import EarlyStopping
from sparkweave.training.state import TrainingState


def state_of(epoch: int) -> TrainingState:
    return TrainingState(epoch=epoch, weights={"weight": torch.tensor([float(epoch)])})


def record_of(epoch: int, loss: float) -> dict[str, object]:
    return to_record(Evaluated(epoch=epoch, accuracy=0.5, loss=loss, examples=1, seconds=1.0))


def test_without_patience_the_last_state_counts_and_nothing_ends() -> None:
    stopping = EarlyStopping(None)
    assert all(stopping.is_best(loss, state_of(1)) for loss in (1.0, 2.0, 3.0))
    assert not stopping.is_due
    assert stopping.best is None
    assert stopping.to_blobs() == {}


def test_it_ends_after_as_many_evaluations_without_a_lower_loss() -> None:
    stopping = EarlyStopping(2)
    losses = (3.0, 2.0, 2.0, 1.0, 5.0, math.nan)
    assert [stopping.is_best(loss, state_of(epoch)) for epoch, loss in enumerate(losses, start=1)] == [
        True,
        True,
        False,
        True,
        False,
        False,
    ]
    assert stopping.is_due
    assert stopping.best is not None
    assert stopping.best.epoch == 4


def test_a_resumed_run_goes_on_where_it_was() -> None:
    losses = (3.0, 1.0, 2.0)
    straight = EarlyStopping(2)
    for epoch, loss in enumerate(losses, start=1):
        straight.is_best(loss, state_of(epoch))
    resumed = EarlyStopping(2)
    resumed.resume(straight.to_blobs(), [record_of(epoch, loss) for epoch, loss in enumerate(losses, start=1)])
    assert resumed.best is not None
    assert resumed.best.epoch == 2
    assert resumed.best.weights["weight"].item() == 2
    assert not resumed.is_due
    assert not resumed.is_best(1.5, state_of(4))
    assert resumed.is_due
