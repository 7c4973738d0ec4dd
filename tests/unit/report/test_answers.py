from __future__ import annotations

import math
from typing import Any

import pytest
from tests.unit.report.histories import epoch_ended, made_up, started, step_measured

from sparkweave.events import Evaluated, Event
from sparkweave.report.answers import Answer, answers
from sparkweave.report.history import History
from sparkweave.report.profile import profiles


def answered(*events: Event) -> dict[str, Answer]:
    history = History(events)
    found = answers(history, profiles(history.steps))
    return dict(zip(("learning", "speed", "slow", "bytes"), found, strict=True))


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def measured(epoch: int, loss: float, accuracy: float = 0.9) -> Evaluated:
    return Evaluated(epoch=epoch, accuracy=accuracy, loss=loss, examples=100, seconds=1.0)


def test_of_a_run_that_has_only_begun_nothing_is_claimed() -> None:
    assert {answer.level for answer in answered().values()} == {"open"}
    assert {answer.level for answer in answered(started()).values()} == {"open"}


@pytest.mark.parametrize(
    ("losses", "level", "headline"),
    [
        ([2.0], "open", "Too early to say: one epoch has ended"),
        ([2.0, 1.0], "good", "Yes: 60 % of the training images are right"),
        ([2.0, 2.1], "look", "No: the training loss has not fallen"),
        ([2.0, math.nan], "look", "No: the loss is no longer a finite number"),
    ],
)
def test_learning_is_a_loss_that_falls(losses: list[float], level: str, headline: str) -> None:
    answer = answered(*(epoch_ended(epoch=number, loss=loss) for number, loss in enumerate(losses, start=1)))[
        "learning"
    ]
    assert (answer.level, plain(answer.headline)) == (level, headline)
    assert "It was not measured on test images" in answer.details[1]


def test_test_images_count_where_there_are_any() -> None:
    events = [
        epoch_ended(epoch=1, loss=2.0),
        epoch_ended(epoch=2, loss=1.0),
        measured(1, 1.0, 0.97),
        measured(2, 1.0, 0.95),
    ]
    answer = answered(*events)["learning"]
    assert plain(answer.headline) == "Yes: 95 % of the test images are right"
    assert plain(answer.details[1]) == "Best on the test images: 97 % after epoch 1."


def test_a_loss_on_test_images_that_rises_again_is_told() -> None:
    events = [epoch_ended(epoch=1, loss=2.0), epoch_ended(epoch=9, loss=0.1), measured(3, 0.5), measured(9, 0.75)]
    answer = answered(*events)["learning"]
    assert answer.level == "look"
    assert plain(answer.headline) == (
        "Until epoch 3: there the loss on test images is lowest, and 50.0 % higher at the end"
    )


def step(rank: int = 0, **seconds: float) -> Any:
    parts = dict.fromkeys(("data_seconds", "compute_seconds", "encode_seconds", "wait_seconds", "apply_seconds"), 0.0)
    return step_measured(rank=rank, **{**parts, **{f"{name}_seconds": value for name, value in seconds.items()}})


@pytest.mark.parametrize(
    ("steps", "level", "headline"),
    [
        ([step(compute=9, wait=1)], "good", "Computing: 90.0 % of the time"),
        ([step(compute=8, data=2)], "look", "Preparing images: 20.0 % of the time"),
        ([step(compute=7, wait=3)], "look", "Waiting for peers and the network: 30.0 % of the time"),
        ([step(compute=4, wait=6), step(1, compute=10)], "look", "Waiting for worker 1: 30.0 % of the time"),
        ([step(compute=8, encode=1.5, apply=0.5)], "look", "Making and applying messages"),
        ([step(compute=65, data=14, wait=21)], "good", "Nothing in particular"),
    ],
)
def test_the_speed_is_limited_by_what_takes_long_and_could_be_shorter(steps: list, level: str, headline: str) -> None:
    answer = answered(*steps)["speed"]
    assert (answer.level, plain(answer.headline)) == (level, headline)


def test_without_measured_steps_the_epochs_tell() -> None:
    answer = answered(started(), epoch_ended(data_seconds=0.0, compute_seconds=1.0, communication_seconds=1.0))["speed"]
    assert plain(answer.headline) == "Waiting for peers and the network: 50.0 % of the time"
    assert plain(answer.details[1]) == "Of the epochs: data 0.0 %, compute 50.0 %, communication 50.0 %."


def test_measured_steps_that_missed_every_exchange_do_not_hide_it() -> None:
    epoch = epoch_ended(data_seconds=0.0, compute_seconds=1.0, communication_seconds=1.0, bytes_sent=6_000)
    found = answered(started(workers=3, steps_per_epoch=2), step(compute=1), epoch)
    assert plain(found["speed"].headline) == "Waiting for peers and the network: 50.0 % of the time"
    assert plain(found["bytes"].details[1]) == "1 kB a step and worker."


def test_an_epoch_is_divided_as_its_measured_steps_were() -> None:
    epoch = epoch_ended(data_seconds=0.0, compute_seconds=6.0, communication_seconds=4.0)
    answer = answered(started(), step(compute=8, encode=3, wait=1), epoch)["speed"]
    assert plain(answer.details[1]) == (
        "Of the epochs: data 0.0 %, compute 60.0 %, encode 30.0 %, wait 10.0 %, apply 0.0 %."
    )


def test_a_slow_worker_is_named_with_its_host() -> None:
    answer = answered(*made_up(workers=3, slow=2, slow_from=1))["slow"]
    assert answer.level == "look"
    assert answer.headline.startswith("Yes: worker 2 on node-c.cluster takes 1.")
    assert answer.details == (
        "worker 2 on node-c.cluster computed up to 1.9 times as long as the others in epochs 1 to 12.",
    )


def test_stragglers_of_epochs_are_told_without_measured_steps() -> None:
    slow = {"straggler": "worker 1 on b", "straggler_factor": 2.5}
    answer = answered(epoch_ended(epoch=1, **slow), epoch_ended(epoch=2), epoch_ended(epoch=3, **slow))["slow"]
    assert (answer.level, answer.headline) == ("look", "At times")
    assert answer.details == ("worker 1 on b computed up to 2.5 times as long as the others in 2 epochs from 1 to 3.",)


def test_nobody_is_called_slow_without_cause() -> None:
    assert answered(*made_up(slow=None))["slow"].level == "good"
    assert answered(started(), epoch_ended())["slow"].headline == "None that stood out"
    assert answered(started(workers=1), epoch_ended())["slow"].level == "open"


def test_bytes_are_counted_in_all_an_epoch_and_a_second() -> None:
    answer = answered(*(epoch_ended(epoch=number, bytes_sent=10**6, seconds=2.0) for number in (1, 2)))["bytes"]
    assert plain(answer.headline) == "2 MB sent"
    assert plain(answer.details[0]) == "1 MB an epoch, sent by all workers together."
    assert plain(answer.details[-1]) == "500 kB a second, over 4 s of epochs."
    assert answered(epoch_ended(bytes_sent=0))["bytes"].headline == "None"
