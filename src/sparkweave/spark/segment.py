"""One segment: a barrier job that trains some epochs from a state and returns the new one."""

from __future__ import annotations

import dataclasses
import functools
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame

from sparkweave.distributed.channel import ChannelAddress
from sparkweave.errors import WorkerError
from sparkweave.events import EpochEnded, Event, from_record
from sparkweave.spark.failures import WorkerFailure, describe, find_failures
from sparkweave.spark.jobs import described, small_batches
from sparkweave.spark.worker import RESULT_COLUMNS, Gang, assemble, run_worker
from sparkweave.training.state import TrainingState
from sparkweave.training.task import SegmentTask

_SILENT_SECONDS = 5.0
_CANCELLED = re.compile(r"SPARK_JOB_CANCELLED|Job \d+ cancelled")
_ENVELOPE = ("host", "pid", "attempt", "number", "time")


class SegmentFailed(Exception):
    """A segment's job failed; whether to run it again is the trainer's decision.

    Attributes:
        failure: What the first failing worker reported, or None where none could.
        error: For the user, if it isn't run again.
        is_final: Whether running it again is of no use, or not wanted.
    """

    def __init__(self, failure: WorkerFailure | None, error: WorkerError, *, is_final: bool) -> None:
        super().__init__(str(error))
        self.failure = failure
        self.error = error
        self.is_final = is_final


class Listener:
    """Takes the workers' messages: hands their events on, and remembers who was heard when.

    Attributes:
        failures: The workers' reports in this attempt.
        told_epochs: Epochs of this attempt whose end was told already.
    """

    def __init__(self, on_event: Callable[[Event], None], *, workers: int, epochs: int) -> None:
        """Remembers whom to tell.

        Args:
            on_event: Called from the channel's threads.
            workers: How many there are.
            epochs: Of the whole run.
        """
        self._on_event = on_event
        self._workers = workers
        self._epochs = epochs
        self._tallies: dict[int, list[Mapping[str, Any]]] = {}
        self.told_epochs: set[int] = set()
        self._lock = threading.Lock()
        self._heard: dict[int, tuple[float, Mapping[str, Any]]] = {}
        self.failures: list[WorkerFailure] = []

    def reset(self) -> None:
        """For a new attempt."""
        with self._lock:
            self._heard.clear()
            self._tallies.clear()
            self.failures.clear()
            self.told_epochs.clear()

    def receive(self, message: Mapping[str, Any]) -> None:
        """A worker's message, from the channel."""
        with self._lock:
            self._heard[message["rank"]] = (time.monotonic(), message)
        kind = message["event"]
        if kind == "failure":
            names = {field.name for field in dataclasses.fields(WorkerFailure)}
            self.failures.append(WorkerFailure(**{name: message[name] for name in names}))
        elif kind == "tally":
            self._take_tally(message["tally"])
        elif kind != "heartbeat":
            self._on_event(from_record({name: value for name, value in message.items() if name not in _ENVELOPE}))

    def _take_tally(self, tally: Mapping[str, Any]) -> None:
        """Tells an epoch's end once all workers have reached it."""
        tallies = self._tallies.setdefault(tally["epoch"], [])
        tallies.append(tally)
        if len(tallies) == self._workers:
            self.told_epochs.add(tally["epoch"])
            for event in epochs_ended(tallies, self._epochs):
                self._on_event(event)

    def silent(self) -> list[str]:
        """The workers that were heard once, but not of late: stopped, or their link is cut."""
        now = time.monotonic()
        with self._lock:
            return [
                f"worker {rank} (host {message['host']}, process {message['pid']}) "
                f"was last heard of {now - heard:.0f} s ago"
                for rank, (heard, message) in sorted(self._heard.items())
                if now - heard > _SILENT_SECONDS
            ]


def run_segment(
    blocks: DataFrame,
    task: SegmentTask,
    state: TrainingState,
    *,
    driver: str,
    channel: ChannelAddress,
    listener: Listener,
) -> tuple[TrainingState, list[dict[str, Any]]]:
    """Runs the job, and returns the new state and the workers' tallies.

    Raises:
        SegmentFailed: if it failed, for whatever reason.
    """
    spark = blocks.sparkSession
    gang = Gang(world_size=len(task.sizes), driver=driver, channel=channel)
    broadcast = spark.sparkContext.broadcast(state.to_blobs())
    job = blocks.mapInArrow(
        functools.partial(run_worker, task=task, gang=gang, state=broadcast), RESULT_COLUMNS, barrier=True
    )
    listener.reset()
    try:
        with small_batches(spark), described(spark, f"{epochs_name(task)} of {task.config.epochs}"):
            tallies, blobs = assemble(job.collect())
    except (PySparkException, Py4JError) as error:
        raise _failed(str(error), listener, task) from error
    finally:
        if spark.sparkContext._jsc is not None:
            broadcast.destroy()
    return TrainingState.from_blobs(task.last_epoch, blobs), tallies


def epochs_name(task: SegmentTask) -> str:
    """As in the web UI: ``epoch 3`` or ``epochs 3–4``."""
    if task.first_epoch == task.last_epoch:
        return f"epoch {task.first_epoch}"
    return f"epochs {task.first_epoch}–{task.last_epoch}"


def _failed(text: str, listener: Listener, task: SegmentTask) -> SegmentFailed:
    if _CANCELLED.search(text):
        message = "training was cancelled: its Spark job was, from the web UI or by the program"
        return SegmentFailed(None, WorkerError(message), is_final=True)
    reports = find_failures(text) + listener.failures
    failure = min(reports, key=lambda report: report.is_victim, default=None)
    if failure is None:
        return SegmentFailed(None, WorkerError(describe(text)), is_final=False)
    message = str(failure)
    if failure.is_victim:
        silent = listener.silent()
        message = "; ".join([*silent, message]) if silent else f"{message}. {describe(text)}"
    step = (failure.epoch - 1) * task.schedule.steps + failure.step if failure.step else None
    return SegmentFailed(failure, WorkerError(message, rank=failure.rank, step=step), is_final=failure.is_final)


def epochs_ended(tallies: Sequence[Mapping[str, Any]], epochs: int) -> Iterator[EpochEnded]:
    """The workers' tallies, one event for each epoch."""
    for epoch in sorted({tally["epoch"] for tally in tallies}):
        workers = [tally for tally in tallies if tally["epoch"] == epoch]
        total = {name: sum(worker[name] for worker in workers) for name in workers[0] if name != "rank"}
        seconds = max(worker["seconds"] for worker in workers)
        data, communication = (total[f"{part}_seconds"] / len(workers) for part in ("data", "communication"))
        yield EpochEnded(
            epoch=epoch,
            epochs=epochs,
            loss=total["loss"] / total["examples"],
            accuracy=total["correct"] / total["examples"],
            examples=total["examples"],
            images_per_second=total["examples"] / seconds,
            seconds=seconds,
            data_seconds=data,
            compute_seconds=total["seconds"] / len(workers) - data - communication,
            communication_seconds=communication,
            bytes_sent=total["bytes_sent"],
            learning_rate=workers[0]["learning_rate"],
        )
