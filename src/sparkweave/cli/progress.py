"""Progress of a training run: a bar on a terminal, a line an epoch otherwise. A `Callback` of the trainer."""

from __future__ import annotations

import dataclasses
import sys
import threading
from typing import TYPE_CHECKING, Never

from tqdm import tqdm

from sparkweave.cli.console import clean, say, say_left_out
from sparkweave.training.callbacks import Callback

if TYPE_CHECKING:
    from sparkweave.events import EpochEnded, Evaluated, IterationEnded, Resharded, Restarted, RunEnded, RunStarted


class Progress(Callback):
    """Prints what happens on stderr.

    Args:
        log_every: Steps between two printed losses; 0 prints none.
        bar: Whether to draw a bar; None draws one on a terminal.
    """

    def __init__(self, *, log_every: int = 0, bar: bool | None = None) -> None:
        self._log_every = log_every
        self._wants_bar = sys.stderr.isatty() if bar is None else bar
        self._bar: tqdm[Never] | None = None
        self._lock = threading.Lock()
        self._run: RunStarted | None = None
        self._stragglers: set[str] = set()

    def on_run_start(self, event: RunStarted) -> None:
        """Says what is trained, on what, and how."""
        self._run = event
        self._print(
            f"Training {event.network} ({event.parameters:,} parameters) on {event.examples:,} images of {event.classes} classes:"
            f" {event.workers} workers, {event.strategy}, {event.steps_per_epoch:,} steps an epoch"
        )
        say_left_out(event.bad_entries, event.bad_reasons)
        if event.first_epoch > 1:
            self._print(f"Going on after epoch {event.first_epoch - 1}")
        if self._wants_bar:
            done = (event.first_epoch - 1) * event.steps_per_epoch
            total = event.epochs * event.steps_per_epoch
            self._bar = tqdm(total=total, initial=done, unit="step", dynamic_ncols=True, file=sys.stderr, leave=False)

    def on_iteration(self, event: IterationEnded) -> None:
        """Moves the bar; prints the loss of every ``log_every``-th step. Called from another thread than the rest."""
        iteration = (event.epoch - 1) * event.steps + event.step
        if self._log_every and iteration % self._log_every == 0:
            self._print(
                f"epoch {event.epoch} step {event.step}/{event.steps} worker {event.rank}: loss {event.loss:.4f}"
            )
        if self._bar is not None and event.rank == 0:
            workers = self._run.workers if self._run else 1
            with self._lock:
                self._move_to(iteration)
                self._bar.set_postfix_str(
                    f"epoch {event.epoch}, loss {event.loss:.4f}, {event.images_per_second * workers:,.0f} images/s"
                )

    def on_epoch_end(self, event: EpochEnded) -> None:
        """Prints the epoch's figures."""
        if self._bar is not None and self._run is not None:
            with self._lock:
                self._move_to(event.epoch * self._run.steps_per_epoch)
        self._print(
            f"epoch {event.epoch}/{event.epochs}: loss {event.loss:.4f}, accuracy {event.accuracy:.4f},"
            f" {event.images_per_second:,.0f} images/s, ETA {_duration(event.seconds * (event.epochs - event.epoch))}"
        )

        if event.straggler and event.straggler not in self._stragglers:
            self._stragglers.add(event.straggler)
            self._print(
                f"{event.straggler} takes {event.straggler_factor:.1f} times as long to compute as the others, who wait for it:"
                " what else runs there?"
            )

    def on_evaluation(self, event: Evaluated) -> None:
        """Prints the figures on the test images."""
        self._print(
            f"after epoch {event.epoch}: accuracy {event.accuracy:.4f}, loss {event.loss:.4f} on {event.examples:,} test images"
        )

    def on_restart(self, event: Restarted) -> None:
        """Says why a part of the run is run again."""
        self._print(
            f"Running again from epoch {event.epoch} (attempt {event.attempt}, {event.restarts_left} restarts left): {event.reason}"
        )

    def on_reshard(self, event: Resharded) -> None:
        """Says with how many workers the run goes on."""
        self._print(
            f"Going on after epoch {event.epoch} with {event.workers} of {event.workers_before} workers,"
            f" {event.steps_per_epoch:,} steps an epoch: executors were lost, and no others came"
        )
        if self._run is None:
            return
        self._run = dataclasses.replace(self._run, workers=event.workers, steps_per_epoch=event.steps_per_epoch)
        if self._bar is not None:
            with self._lock:
                self._bar.reset(total=self._run.epochs * event.steps_per_epoch)
                self._move_to(event.epoch * event.steps_per_epoch)

    def on_run_end(self, event: RunEnded) -> None:
        """Prints the figures of the whole run."""
        self.close()
        self._print(
            f"Trained {event.epochs} epochs in {_duration(event.seconds)}: {event.images_per_second:,.0f} images/s"
        )

    def close(self) -> None:
        """Takes the bar off the terminal."""
        with self._lock:
            if self._bar is not None:
                self._bar.close()
                self._bar = None

    def _move_to(self, step: int) -> None:
        if self._bar is not None and step > self._bar.n:
            self._bar.update(step - self._bar.n)

    def _print(self, line: str) -> None:
        if self._bar is None:
            say(line)
        else:
            self._bar.write(clean(line), file=sys.stderr)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
