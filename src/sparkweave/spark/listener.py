"""What the driver hears of a segment's workers: their events, and who fell silent."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sparkweave.events import EpochEnded, Event, from_record
from sparkweave.spark.failures import WorkerFailure

_STRAGGLES_FACTOR = 1.5
_STRAGGLES_SECONDS = 1.0
_LONGEST_START_SECONDS = 60.0
"""Between the first and the last worker's start: each imports PyTorch, on hosts that may be busy."""

_ENVELOPE = ("host", "pid", "attempt", "number", "offset")


@dataclasses.dataclass(kw_only=True)
class _Heard:
    """The last sign of life of one worker; ``closed`` is when its connection ended."""

    time: float
    message: Mapping[str, Any]
    closed: float | None = None


class Listener:
    """Takes the workers' messages: hands their events on, and remembers who was heard when.

    Attributes:
        failures: The workers' reports in this attempt.
        told_epochs: Epochs of this attempt whose end was told already.
    """

    def __init__(self, on_event: Callable[[Event], None], *, epochs: int, clock_offset: float = 0.0) -> None:
        """Remembers whom to tell.

        Args:
            on_event: Called from the channel's threads.
            epochs: Of the whole run.
            clock_offset: How many seconds this machine's clock is behind the one that events are timed by.
        """
        self._clock_offset = clock_offset
        self._on_event = on_event
        self._workers = 0
        self._epochs = epochs
        self._tallies: dict[int, list[Mapping[str, Any]]] = {}
        self.told_epochs: set[int] = set()
        self._lock = threading.Lock()
        self._heard: dict[int, _Heard] = {}
        self._first_heard: float | None = None
        self._listening_since: float | None = time.monotonic()
        self.failures: list[WorkerFailure] = []

    def reset(self, *, workers: int) -> None:
        """For a new attempt, of so many workers."""
        with self._lock:
            self._workers = workers
            self._heard.clear()
            self._first_heard = None
            self._tallies.clear()
            self.failures.clear()
            self.told_epochs.clear()

    def receive(self, message: Mapping[str, Any]) -> None:
        """A worker's message, from the channel."""
        with self._lock:
            now = time.monotonic()
            self._heard[message["rank"]] = _Heard(time=now, message=message)
            self._first_heard = self._first_heard or now
        kind = message["event"]
        if kind == "failure":
            names = {field.name for field in dataclasses.fields(WorkerFailure)}
            self.failures.append(WorkerFailure(**{name: message[name] for name in names}))
        elif kind == "tally":
            self._take_tally(message["tally"])
        elif kind == "measured":
            began = message["measured"]["time"] + message["offset"] + self._clock_offset
            self._tell(from_record({**message["measured"], "time": began}))
        elif kind != "heartbeat":
            self._tell(from_record({name: value for name, value in message.items() if name not in _ENVELOPE}))

    def closed(self, message: Mapping[str, Any]) -> None:
        """The connection whose last message this was has ended."""
        with self._lock:
            heard = self._heard.get(message["rank"])
            if heard is not None and heard.message is message:
                heard.closed = time.monotonic()

    def name(self, rank: int) -> str:
        """A worker, with its host if it was heard of."""
        heard = self._heard.get(rank)
        return f"worker {rank} on {heard.message['host']}" if heard else f"worker {rank}"

    def silent(self, seconds: float) -> list[str]:
        """The workers that were not heard for over ``seconds``: stopped, hanging, or cut off.

        Those that were never heard count from the first one that was, and have the time for their start as well; all start at
        once. While a callback keeps this listener from listening, nobody is called silent.
        """
        now = time.monotonic()
        with self._lock:
            if self._listening_since is None:
                return []
            lost = [
                f"worker {rank} (host {heard.message['host']}, process {heard.message['pid']}) "
                f"was last heard of {now - heard.time:.0f} s ago"
                for rank, heard in sorted(self._heard.items())
                if (heard.closed or now) - max(heard.time, self._listening_since) > seconds
            ]
            if self._first_heard is None:
                return lost
            waited = now - max(self._first_heard, self._listening_since)
            missing = sorted(set(range(self._workers)) - self._heard.keys())
            if missing and waited > max(seconds, _LONGEST_START_SECONDS):
                first = f"{now - self._first_heard:.0f} s after the first one"
                lost += [f"worker {rank} has not been heard of {first}" for rank in missing]
            return lost

    def _take_tally(self, tally: Mapping[str, Any]) -> None:
        """Tells an epoch's end once all workers have reached it."""
        tallies = self._tallies.setdefault(tally["epoch"], [])
        tallies.append(tally)
        if len(tallies) == self._workers:
            self.told_epochs.add(tally["epoch"])
            for event in epochs_ended(tallies, self._epochs):
                self._tell(event)

    def _tell(self, event: Event) -> None:
        with self._busy():
            self._on_event(event)

    @contextlib.contextmanager
    def _busy(self) -> Iterator[None]:
        """Meanwhile the channel is not read: it hands over one message at a time."""
        with self._lock:
            self._listening_since = None
        try:
            yield
        finally:
            with self._lock:
                self._listening_since = time.monotonic()


def epochs_ended(tallies: Sequence[Mapping[str, Any]], epochs: int) -> Iterator[EpochEnded]:
    """The workers' tallies, one event for each epoch."""
    for epoch in sorted({tally["epoch"] for tally in tallies}):
        workers = [tally for tally in tallies if tally["epoch"] == epoch]
        total = {name: sum(worker[name] for worker in workers) for name in workers[0] if name not in ("rank", "host")}
        seconds = max(worker["seconds"] for worker in workers)
        data, communication = (total[f"{part}_seconds"] / len(workers) for part in ("data", "communication"))
        straggler, factor = _straggler(workers)
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
            straggler=straggler,
            straggler_factor=factor,
        )


def _straggler(tallies: Sequence[Mapping[str, Any]]) -> tuple[str, float]:
    """The worker that computed far longer than the others in an epoch, and how many times as long."""
    seconds = [tally["seconds"] - tally["data_seconds"] - tally["communication_seconds"] for tally in tallies]
    longest = max(seconds)
    slowest = seconds.index(longest)
    usual = statistics.median(seconds[:slowest] + seconds[slowest + 1 :] or [longest])
    if longest - usual < _STRAGGLES_SECONDS or longest <= usual * _STRAGGLES_FACTOR:
        return "", 1.0
    name = f"worker {tallies[slowest]['rank']} on {tallies[slowest]['host']}"
    return name, longest / max(usual, 1e-3)
