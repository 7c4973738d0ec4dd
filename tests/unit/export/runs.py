"""A run's events."""

from __future__ import annotations

import math
from typing import Any

from sparkweave.events import EpochEnded, Evaluated, Restarted, RunEnded, RunStarted

ENDED = RunEnded(epochs=2, seconds=75, examples=400, images_per_second=12000)


def started(first_epoch: int = 1) -> RunStarted:
    return RunStarted(
        examples=200, classes=2, workers=3, epochs=2, first_epoch=first_epoch, steps_per_epoch=10, parameters=1234,
        strategy="all-reduce", network="lenet",
    )  # fmt: skip


def epoch(number: int, **figures: Any) -> EpochEnded:
    known: dict[str, Any] = {"loss": 1 / number, "accuracy": 0.75, "images_per_second": 1000.0, "learning_rate": 0.001}
    return EpochEnded(
        epoch=number, epochs=2, examples=200, seconds=1.0, data_seconds=0.1, compute_seconds=0.8,
        communication_seconds=0.1, bytes_sent=1000, **{**known, **figures},
    )  # fmt: skip


def evaluated(number: int, accuracy: float = math.nan) -> Evaluated:
    return Evaluated(epoch=number, accuracy=accuracy, loss=0.4, examples=50, seconds=0.5)


def restarted(number: int) -> Restarted:
    return Restarted(epoch=number, attempt=2, restarts_left=1, reason="a worker was lost")
