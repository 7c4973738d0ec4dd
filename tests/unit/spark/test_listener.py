"""What the driver makes of the workers' messages."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sparkweave.events import EpochEnded, Event, IterationEnded, StepMeasured, to_record
from sparkweave.spark import listener as module
from sparkweave.spark.listener import Listener, epochs_ended

STEP = IterationEnded(epoch=1, step=1, steps=2, rank=0, loss=0.5, images_per_second=1.0)


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def message(rank: int, **fields: Any) -> dict[str, Any]:
    return {"rank": rank, "host": f"host-{rank}", "pid": 7, "offset": 0.0, "event": "heartbeat", **fields}


def make(events: list[Event]) -> Listener:
    return Listener(events.append, epochs=3)


def test_a_worker_that_is_not_heard_any_more_is_silent(clock: Clock) -> None:
    listener = make([])
    listener.receive(message(0))
    listener.receive(message(1))
    clock.now += 8
    listener.receive(message(0))
    clock.now += 3
    assert listener.silent(11) == []
    assert listener.silent(10) == ["worker 1 (host host-1, process 7) was last heard of 11 s ago"]


def test_steps_are_timed_by_this_machines_clock(clock: Clock) -> None:
    events: list[Event] = []
    listener = Listener(events.append, epochs=3, clock_offset=0.5)
    measured = StepMeasured(
        epoch=1, step=1, rank=1, host="far", time=90.0, seconds=1, data_seconds=0, compute_seconds=1, encode_seconds=0,
        wait_seconds=0, apply_seconds=0, bytes_sent=0, bytes_received=0,
    )  # fmt: skip
    listener.receive(message(1, offset=5900.0, event="measured", measured=to_record(measured)))
    assert events == [dataclasses.replace(measured, time=90.0 + 5900.5)]


def test_where_none_was_heard_none_is_called_silent(clock: Clock) -> None:
    listener = make([])
    listener.reset(workers=2)
    clock.now += 1000
    assert listener.silent(1) == []


def test_a_worker_that_was_never_heard_counts_from_the_first_that_was_and_has_time_to_start(clock: Clock) -> None:
    listener = make([])
    listener.reset(workers=3)
    clock.now += 1000
    listener.receive(message(1))
    for _ in range(61):
        listener.receive(message(1))
        assert listener.silent(5) == []
        clock.now += 1
    assert listener.silent(5) == [f"worker {rank} has not been heard of 61 s after the first one" for rank in (0, 2)]
    listener.receive(message(1))
    assert listener.silent(100) == []
    listener.receive(message(0))
    listener.reset(workers=2)
    assert listener.silent(5) == []


def test_a_worker_that_closed_its_connection_is_done_and_not_silent(clock: Clock) -> None:
    listener = make([])
    last = message(0)
    listener.receive(last)
    listener.closed(last)
    clock.now += 1000
    assert listener.silent(5) == []


def test_a_worker_that_was_silent_before_its_connection_broke_stays_named(clock: Clock) -> None:
    listener = make([])
    last = message(0)
    listener.receive(last)
    clock.now += 20
    listener.closed(last)
    clock.now += 1000
    assert len(listener.silent(5)) == 1


def test_an_old_connection_that_ends_says_nothing_of_a_new_one(clock: Clock) -> None:
    listener = make([])
    last = message(0)
    listener.receive(last)
    listener.receive(message(0))
    listener.closed(last)
    clock.now += 20
    assert len(listener.silent(5)) == 1


def test_nobody_is_silent_while_a_callback_keeps_the_driver_from_listening(clock: Clock) -> None:
    found: list[list[str]] = []

    def slow(_event: Event) -> None:
        clock.now += 100
        found.append(listener.silent(5))

    listener = Listener(slow, epochs=3)
    listener.receive(message(1))
    listener.receive({**message(0), **to_record(STEP)})
    assert found == [[]]
    assert listener.silent(5) == []
    clock.now += 6
    assert len(listener.silent(5)) == 2


def test_a_new_attempt_starts_with_nobody_heard(clock: Clock) -> None:
    listener = make([])
    listener.receive(message(0))
    listener.reset(workers=2)
    clock.now += 1000
    assert listener.silent(5) == []


def test_events_are_handed_on_without_the_envelope() -> None:
    events: list[Event] = []
    make(events).receive({**message(0), **to_record(STEP), "attempt": 1, "number": 3, "offset": 5.0})
    assert events == [STEP]


def tally(rank: int, **fields: Any) -> dict[str, Any]:
    whole = {"epoch": 1, "examples": 10, "loss": 5.0, "correct": 4, "bytes_sent": 100, "learning_rate": 0.1}
    times = {"seconds": 10.0, "data_seconds": 1.0, "communication_seconds": 2.0}
    return {"rank": rank, "host": f"host-{rank}", **whole, **times, **fields}


def test_an_epoch_is_told_once_all_workers_of_the_attempt_have_ended_it() -> None:
    events: list[Event] = []
    listener = make(events)
    listener.reset(workers=2)
    listener.receive({**message(0), "event": "tally", "tally": tally(0)})
    assert not events
    listener.receive({**message(1), "event": "tally", "tally": tally(1, seconds=12.0)})
    (event,) = events
    assert isinstance(event, EpochEnded)
    assert (event.examples, event.loss, event.accuracy, event.seconds) == (20, 0.5, 0.4, 12.0)
    assert (event.compute_seconds, event.straggler, event.straggler_factor) == (8.0, "", 1.0)
    assert listener.told_epochs == {1}


def test_a_worker_that_computes_far_longer_than_the_others_is_named_with_its_host() -> None:
    waiting = [tally(rank, communication_seconds=6.0) for rank in (0, 2)]
    (event,) = epochs_ended([waiting[0], tally(1, communication_seconds=0.0), waiting[1]], epochs=3)
    assert (event.straggler, event.straggler_factor) == ("worker 1 on host-1", 3.0)


@pytest.mark.parametrize(
    "tallies",
    [
        [tally(0)],
        [tally(0), tally(1, seconds=11.0)],
        [tally(0, seconds=3.1), tally(1, seconds=3.9)],
        [tally(0), tally(1, seconds=20.0, data_seconds=11.0)],
    ],
    ids=["alone", "a little slower", "for an instant", "waiting for its data"],
)
def test_an_ordinary_worker_is_not_named(tallies: list[dict[str, Any]]) -> None:
    (event,) = epochs_ended(tallies, epochs=3)
    assert event.straggler == ""
