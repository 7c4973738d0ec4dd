"""What happens during a run, as plain data: shown live, written as JSON lines, kept in the history."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunStarted:
    """Training is about to start (or to go on, if ``first_epoch`` is over 1)."""

    examples: int
    classes: int
    workers: int
    epochs: int
    first_epoch: int
    steps_per_epoch: int
    parameters: int
    strategy: str
    network: str
    bad_entries: int = 0
    bad_reasons: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class IterationEnded:
    """One worker finished a step (a sample of them: about two a second, and every N-th by request).

    ``step`` counts from 1 within the epoch; ``images_per_second`` is this worker's alone.
    """

    epoch: int
    step: int
    steps: int
    rank: int
    loss: float
    images_per_second: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpochEnded:
    """An epoch ended on all workers. ``loss`` and ``accuracy`` (NaN where numbers are predicted) are means over its training examples.

    ``seconds`` is the slowest worker's; the time shares are means over workers, in seconds. ``straggler`` is a worker with its host
    that took far longer to compute than the others, ``straggler_factor`` times as long; empty where there is none.
    """

    epoch: int
    epochs: int
    loss: float
    accuracy: float
    examples: int
    images_per_second: float
    seconds: float
    data_seconds: float
    compute_seconds: float
    communication_seconds: float
    bytes_sent: int
    learning_rate: float
    straggler: str = ""
    straggler_factor: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The model after ``epoch`` epochs, measured on the test images."""

    epoch: int
    accuracy: float
    loss: float
    examples: int
    seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Restarted:
    """A segment failed and is run again from the state after ``epoch`` epochs."""

    epoch: int
    attempt: int
    restarts_left: int
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resharded:
    """Executors were lost and did not come back: after ``epoch`` epochs the images were dealt out anew to fewer workers."""

    epoch: int
    workers: int
    workers_before: int
    steps_per_epoch: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepMeasured:
    """Where one worker's time went in one step, and what it exchanged (``--collect-training-stats``; a sample of the steps).

    ``time`` is when the step began, in seconds since 1970 by the driver's clock; all other seconds are durations of a
    monotonic clock. ``data_seconds`` waited for the minibatch, ``encode_seconds`` made the messages, ``wait_seconds`` waited
    for peers and the network, ``apply_seconds`` applied what came; ``compute_seconds`` is the rest. ``sent_fraction`` of the
    parameters was sent at ``threshold``, and the residual that stayed behind has the Euclidean norm ``residual_norm``: all
    three are None for strategies that send everything.
    """

    epoch: int
    step: int
    rank: int
    host: str
    time: float
    seconds: float
    data_seconds: float
    compute_seconds: float
    encode_seconds: float
    wait_seconds: float
    apply_seconds: float
    bytes_sent: int
    bytes_received: int
    sent_fraction: float | None = None
    threshold: float | None = None
    residual_norm: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunEnded:
    """Training ended after ``epochs`` epochs."""

    epochs: int
    seconds: float
    examples: int
    images_per_second: float


Event = RunStarted | IterationEnded | StepMeasured | EpochEnded | Evaluated | Restarted | Resharded | RunEnded

KINDS: Mapping[str, type[Event]] = {
    "run_started": RunStarted,
    "iteration": IterationEnded,
    "step": StepMeasured,
    "epoch": EpochEnded,
    "evaluation": Evaluated,
    "restart": Restarted,
    "reshard": Resharded,
    "run_ended": RunEnded,
}
_NAMES = {kind: name for name, kind in KINDS.items()}


def to_record(event: Event) -> dict[str, Any]:
    """The event as a JSON-ready mapping, its kind under ``"event"``."""
    return {"event": _NAMES[type(event)], **dataclasses.asdict(event)}


def from_record(record: Mapping[str, Any]) -> Event:
    """The inverse of `to_record`.

    Raises:
        KeyError: if the kind is unknown.
        TypeError: if a field is missing or unknown.
    """
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in record.items()
    }
    return KINDS[fields.pop("event")](**fields)
