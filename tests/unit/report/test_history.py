from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from tests.unit.report.histories import epoch_ended, made_up, records, started, step_measured

from sparkweave.errors import ArtifactError
from sparkweave.events import EpochEnded, Evaluated, Resharded, Restarted, RunEnded, StepMeasured, to_record
from sparkweave.report.history import History, read_history


def test_a_history_comes_back_from_json_as_it_was() -> None:
    events = tuple(made_up(resharded=9))
    read = read_history(json.loads(json.dumps([to_record(event) for event in events])))
    assert read == History(events)


def test_null_and_what_is_not_finite_are_nan() -> None:
    lost = [
        to_record(epoch_ended(epoch=number)) | {"loss": loss} for number, loss in enumerate([None, math.inf, 1e200])
    ]
    assert all(math.isnan(epoch.loss) for epoch in read_history(lost).epochs)
    step = to_record(step_measured(threshold=math.nan)) | {"sent_fraction": None}
    (read,) = read_history([step]).steps
    assert read.sent_fraction is None
    assert read.threshold is not None
    assert math.isnan(read.threshold)


def test_what_this_version_does_not_know_is_named_and_the_rest_is_read() -> None:
    known = to_record(epoch_ended())
    read = read_history([{"event": "moved"}, known | {"humidity": 0.4}, {"event": None}])
    assert read.unknown == ("moved", "epoch.humidity", "None")
    assert read.epochs == [epoch_ended()]


def test_fields_with_defaults_may_be_missing() -> None:
    record = to_record(epoch_ended())
    del record["straggler"], record["straggler_factor"]
    assert read_history([record]).epochs == [epoch_ended()]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loss": "<b>"}, r"record 2 of the history \(epoch\): loss is '<b>', which is not a number"),
        ({"loss": True}, "loss is True, which is not a number"),
        ({"epoch": 1.5}, r"epoch is 1\.5, which is not of its type \(int\)"),
        ({"bytes_sent": 1 << 70}, r"bytes_sent is \d+, which is not of its type"),
        ({"straggler": ["a"]}, r"straggler is \['a'\], which is not of its type \(str\)"),
    ],
)
def test_a_field_of_another_type_is_refused_by_name(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ArtifactError, match=said):
        read_history([to_record(started()), to_record(epoch_ended()) | change])


def test_a_record_that_lacks_a_field_or_is_none_is_refused() -> None:
    with pytest.raises(ArtifactError, match="record 1 of the history is 'epoch', not a mapping; use the version"):
        read_history(["epoch"])
    with pytest.raises(ArtifactError, match=r"record 1 of the history \(evaluation\): .*missing 4 required"):
        read_history([{"event": "evaluation", "epoch": 1}])


def test_reasons_are_texts() -> None:
    record = to_record(started(bad_entries=1, bad_reasons=("broken",)))
    assert read_history([record]).started == started(bad_entries=1, bad_reasons=("broken",))
    with pytest.raises(ArtifactError, match="bad_reasons is 'broken', which is not of its type"):
        read_history([record | {"bad_reasons": "broken"}])


def test_endless_texts_are_cut() -> None:
    read = read_history([to_record(step_measured(host="h" * 100_000))])
    assert len(read.steps[0].host) == 1000


def test_what_was_trained_twice_counts_as_it_ended() -> None:
    read = History((epoch_ended(epoch=2), epoch_ended(epoch=1), epoch_ended(epoch=2, loss=0.5)))
    assert [(epoch.epoch, epoch.loss) for epoch in read.epochs] == [(1, 1.5), (2, 0.5)]
    twice = [Evaluated(epoch=2, accuracy=accuracy, loss=1.0, examples=9, seconds=1.0) for accuracy in (0.1, 0.2)]
    assert [one.accuracy for one in History(tuple(twice)).evaluations] == [0.2]


def test_marks_have_the_time_of_the_next_measured_step() -> None:
    read = History(
        (
            started(),
            step_measured(time=1.0),
            Restarted(epoch=3, attempt=2, restarts_left=2, reason="lost"),
            Resharded(epoch=3, workers=2, workers_before=3, steps_per_epoch=150),
            step_measured(time=9.0),
            started(first_epoch=5, workers=2),
        )
    )
    assert [(mark.kind, mark.epoch, mark.time) for mark in read.marks] == [
        ("restart", 3, 9.0),
        ("reshard", 3, 9.0),
        ("resume", 4, None),
    ]


def test_a_run_that_was_taken_up_again_has_not_ended() -> None:
    ended = RunEnded(epochs=2, seconds=1.0, examples=2, images_per_second=2.0)
    assert History((started(), ended)).ended == ended
    assert History((started(), ended, started(first_epoch=3))).ended is None
    assert History(()).ended is None


def test_a_step_is_placed_within_its_epoch_whatever_the_number_of_steps_was_then() -> None:
    read = History(
        (
            started(steps_per_epoch=100),
            step_measured(epoch=1, step=50),
            Resharded(epoch=1, workers=2, workers_before=3, steps_per_epoch=200),
            step_measured(epoch=2, step=50),
            step_measured(epoch=3, step=250),
        )
    )
    assert read.place(1, 50) == 0.5
    assert read.place(2, 50) == 1.25
    assert read.place(3, 250) == 3.0
    assert read.place(9, 1) == 8.5, "nothing is known of that epoch's length"


def test_steps_are_ordered_by_time() -> None:
    steps = [step_measured(time=time, rank=rank) for time, rank in ((2.0, 0), (1.0, 1), (1.0, 0), (math.nan, 0))]
    assert [(step.time, step.rank) for step in History(tuple(steps)).steps] == [(1.0, 0), (1.0, 1), (2.0, 0)]


def test_every_kind_of_event_is_read() -> None:
    kinds = {type(event) for event in read_history(records(resharded=4)).events}
    assert {EpochEnded, Evaluated, Restarted, Resharded, RunEnded, StepMeasured} <= kinds
    assert all(dataclasses.is_dataclass(kind) for kind in kinds)
