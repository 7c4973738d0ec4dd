"""A run's history, checked: it may be another version's, and a model may be a stranger's."""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from sparkweave.errors import ArtifactError
from sparkweave.events import (
    KINDS,
    EpochEnded,
    Evaluated,
    Event,
    Resharded,
    Restarted,
    RunEnded,
    RunStarted,
    StepMeasured,
)

E = TypeVar("E")

_TYPES: Mapping[type[Event], Mapping[str, Any]] = {kind: typing.get_type_hints(kind) for kind in KINDS.values()}

_LARGEST = 1e100
"""Beyond it a figure counts as not finite: sums and squares of such figures would not be."""

_LONGEST_TEXT = 1000
"""Characters of a text that are kept; a reason may hold a whole traceback."""

_REMEDY = "use the version of sparkweave that trained it, or look into who changed it"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mark:
    """Something that happened to a run after so many epochs. ``time`` is in seconds since 1970, or None if nothing tells it."""

    epoch: int
    kind: str
    text: str
    time: float | None = None


@dataclasses.dataclass(frozen=True)
class History:
    """The events of a run in their order. A float that was not finite is NaN.

    Attributes:
        events: As they happened.
        unknown: Kinds and fields that this version doesn't know.
    """

    events: tuple[Event, ...]
    unknown: tuple[str, ...] = ()

    def of(self, kind: type[E]) -> list[E]:
        """All events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @functools.cached_property
    def epochs(self) -> list[EpochEnded]:
        """By their number; of one that was trained twice the last."""
        by_number = {event.epoch: event for event in self.of(EpochEnded)}
        return [by_number[number] for number in sorted(by_number)]

    @functools.cached_property
    def evaluations(self) -> list[Evaluated]:
        """By the epoch after which they were; of several the last."""
        by_number = {event.epoch: event for event in self.of(Evaluated)}
        return [by_number[number] for number in sorted(by_number)]

    @functools.cached_property
    def steps(self) -> list[StepMeasured]:
        """The measured steps by time; those without one are left out."""
        return sorted(
            (step for step in self.of(StepMeasured) if math.isfinite(step.time)),
            key=lambda step: (step.time, step.rank),
        )

    @property
    def started(self) -> RunStarted | None:
        """The last start."""
        return next(iter(reversed(self.of(RunStarted))), None)

    @property
    def ended(self) -> RunEnded | None:
        """The end, unless the run was taken up again since."""
        last = next((event for event in reversed(self.events) if isinstance(event, RunStarted | RunEnded)), None)
        return last if isinstance(last, RunEnded) else None

    @functools.cached_property
    def marks(self) -> list[Mark]:
        """Restarts, reshardings and resumptions in their order."""
        found: list[Mark] = []
        waiting: list[int] = []
        for event in self.events:
            if isinstance(event, StepMeasured):
                for index in waiting:
                    found[index] = dataclasses.replace(found[index], time=event.time)
                waiting.clear()
            elif (mark := _mark(event)) is not None:
                waiting.append(len(found))
                found.append(mark)
        return found

    def place(self, epoch: int, step: int) -> float:
        """Where a step is on an axis of epochs: 2.5 in the middle of the third."""
        steps = self._steps_per_epoch.get(epoch) or 0
        return epoch - 1 + (min(1.0, max(0.0, step / steps)) if steps > 0 else 0.5)

    @functools.cached_property
    def worker_steps(self) -> dict[int, int]:
        """Steps of all workers together, by epoch that has ended, as it was last trained."""
        return {
            event.epoch: plan.workers * plan.steps_per_epoch if plan else 0
            for event, plan in self._planned()
            if isinstance(event, EpochEnded)
        }

    @functools.cached_property
    def _steps_per_epoch(self) -> dict[int, int]:
        """By epoch, as it was last trained; only of epochs that have measured steps."""
        sizes: dict[int, int] = {}
        for event, plan in self._planned():
            if isinstance(event, StepMeasured):
                planned = plan.steps_per_epoch if plan else 0
                sizes[event.epoch] = max(planned, event.step, sizes.get(event.epoch, 0))
        return sizes

    def _planned(self) -> Iterator[tuple[Event, RunStarted | Resharded | None]]:
        """Each event with what last said how many workers and steps there are."""
        plan = None
        for event in self.events:
            if isinstance(event, RunStarted | Resharded):
                plan = event
            yield event, plan


def read_history(records: Iterable[Any]) -> History:
    """The events that ``records`` stand for (`sparkweave.events.to_record`, by way of JSON).

    Kinds and fields that this version doesn't know are named in ``unknown``.

    Raises:
        ArtifactError: if a record lacks a field, or has one of another type.
    """
    events: list[Event] = []
    unknown: dict[str, None] = {}
    for number, record in enumerate(records, start=1):
        if not isinstance(record, Mapping):
            raise ArtifactError(f"record {number} of the history is {record!r:.80}, not a mapping; {_REMEDY}")
        kind = KINDS.get(str(record.get("event")))
        if kind is None:
            unknown[str(record.get("event"))] = None
            continue
        types = _TYPES[kind]
        unknown |= {f"{record['event']}.{name}": None for name in record if name not in types and name != "event"}
        try:
            events.append(kind(**{name: _checked(name, record[name], types[name]) for name in types if name in record}))
        except (TypeError, ValueError) as error:
            raise ArtifactError(f"record {number} of the history ({record['event']}): {error}; {_REMEDY}") from error
    return History(tuple(events), tuple(unknown))


def _mark(event: Event) -> Mark | None:
    if isinstance(event, Restarted):
        text = f"run again from epoch {event.epoch} (attempt {event.attempt}): {event.reason}"
        return Mark(epoch=event.epoch, kind="restart", text=text)
    if isinstance(event, Resharded):
        text = f"went on with {event.workers:,} of {event.workers_before:,} workers; the images were dealt out anew"
        return Mark(epoch=event.epoch, kind="reshard", text=text)
    if isinstance(event, RunStarted) and event.first_epoch > 1:
        text = f"taken up again after epoch {event.first_epoch - 1}, with {event.workers:,} workers"
        return Mark(epoch=event.first_epoch - 1, kind="resume", text=text)
    return None


def _checked(name: str, value: Any, expected: Any) -> Any:
    """``value`` if it is of the type that the field has; floats that are not finite (null, in JSON) become NaN."""
    if expected is float:
        return _number(name, value)
    if expected == float | None:
        return None if value is None else _number(name, value)
    if expected is int and type(value) is int and abs(value) < 1 << 63:
        return value
    if expected is str and isinstance(value, str):
        return value[:_LONGEST_TEXT]
    if expected == tuple[str, ...] and isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(item[:_LONGEST_TEXT] for item in value)
    raise TypeError(f"{name} is {value!r:.80}, which is not of its type ({getattr(expected, '__name__', expected)})")


def _number(name: str, value: Any) -> float:
    if value is None:
        return math.nan
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r:.80}, which is not a number")
    return float(value) if -_LARGEST < value < _LARGEST else math.nan
