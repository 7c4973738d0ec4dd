"""What a caller can hook into a run. Callbacks run on the driver."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TextIO

from sparkweave.events import (
    EpochEnded,
    Evaluated,
    Event,
    IterationEnded,
    Resharded,
    Restarted,
    RunEnded,
    RunStarted,
    StepMeasured,
)


class Callback:
    """Does nothing; override what is of interest.

    `on_iteration`, `on_step_measured` and `on_epoch_end` are called from another thread while a segment runs. What a callback
    raises ends the training; from these, after the segment.
    """

    def on_run_start(self, event: RunStarted) -> None:
        """Training is about to start."""

    def on_iteration(self, event: IterationEnded) -> None:
        """A worker told of a step."""

    def on_step_measured(self, event: StepMeasured) -> None:
        """A worker told where the time of a step went; only where training statistics are collected."""

    def on_epoch_end(self, event: EpochEnded) -> None:
        """An epoch ended on all workers; told again if its segment then fails and is run again."""

    def on_evaluation(self, event: Evaluated) -> None:
        """The model was measured on the test images."""

    def on_restart(self, event: Restarted) -> None:
        """A segment failed and is run again."""

    def on_reshard(self, event: Resharded) -> None:
        """The run goes on with fewer workers."""

    def on_run_end(self, event: RunEnded) -> None:
        """Training ended."""


class LossLogger(Callback):
    """Prints the loss of worker 0 every so many iterations, like Deeplearning4j's ScoreIterationListener.

    Set ``TrainingConfig.log_every`` to the same number, so that each of these iterations is told.
    """

    def __init__(self, every: int = 10, file: TextIO | None = None) -> None:
        self._every = every
        self._file = file

    def on_iteration(self, event: IterationEnded) -> None:
        """See `Callback.on_iteration`."""
        iteration = (event.epoch - 1) * event.steps + event.step
        if event.rank == 0 and iteration % self._every == 0:
            print(f"Loss at iteration {iteration} is {event.loss:.6f}", file=self._file or sys.stderr)


def dispatch(callbacks: Iterable[Callback], event: Event) -> None:
    """Hands ``event`` to the method for it of every callback."""
    for callback in callbacks:
        match event:
            case RunStarted():
                callback.on_run_start(event)
            case IterationEnded():
                callback.on_iteration(event)
            case StepMeasured():
                callback.on_step_measured(event)
            case EpochEnded():
                callback.on_epoch_end(event)
            case Evaluated():
                callback.on_evaluation(event)
            case Restarted():
                callback.on_restart(event)
            case Resharded():
                callback.on_reshard(event)
            case RunEnded():
                callback.on_run_end(event)
