"""What a run makes of segments that fail and of workers that are missing, without Spark."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from sparkweave.config import TrainingConfig
from sparkweave.data.summary import DatasetSummary
from sparkweave.errors import ResourceError, WorkerError
from sparkweave.events import Event, Resharded, Restarted
from sparkweave.spark import run as module
from sparkweave.spark.failures import WorkerFailure
from sparkweave.spark.run import Run, RunOptions
from sparkweave.spark.segment import SegmentFailed
from sparkweave.strategies import AllReduce
from sparkweave.training.callbacks import Callback
from sparkweave.training.state import TrainingState

START = TrainingState(epoch=4, weights={})
END = TrainingState(epoch=5, weights={})
CHANNEL: Any = types.SimpleNamespace(next_attempt=lambda: None)
LISTENER: Any = types.SimpleNamespace(told_epochs=())


class Recorder(Callback):
    """Remembers what is told of faults."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def on_restart(self, event: Restarted) -> None:
        self.events.append(event)

    def on_reshard(self, event: Resharded) -> None:
        self.events.append(event)


def lost(number: int, *, by_cluster: bool = False) -> SegmentFailed:
    return SegmentFailed(None, WorkerError(f"loss {number}"), is_final=False, is_clusters_doing=by_cluster)


def dealt(workers: int) -> Any:
    summary = DatasetSummary(
        sizes=(60 // workers,) * workers,
        shape=(1, 8, 8),
        labels=("0", "1"),
        counts={"0": 30, "1": 30},
        mean=(0.5,),
        deviation=(0.2,),
    )
    return types.SimpleNamespace(sparkSession=None, workers=workers), summary


class Setting:
    """A run of three workers whose segments end as they are told; what it did is kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.pauses: list[float] = []
        self.tried_with: list[int] = []
        self.recorder = Recorder()
        self.has_ended = False
        monkeypatch.setattr(module, "has_ended", lambda _: self.has_ended)
        monkeypatch.setattr(module, "time", types.SimpleNamespace(sleep=self.pauses.append))

    def train(
        self, failures: Iterable[SegmentFailed], *, slots: int = 3, seconds_an_epoch: float = 0.0, **options: Any
    ) -> TrainingState:
        """One segment after epoch 4, tried until ``failures`` are used up; with ``seconds_an_epoch`` it is not the run's first."""
        coming = iter(failures)
        self._monkeypatch.setattr(module, "run_segment", lambda blocks, *_, **__: self._segment(blocks, coming))
        self._monkeypatch.setattr(module, "require_slots", lambda *_, **wanted: self._slots(slots, **wanted))
        config = TrainingConfig(epochs=9, batch_size=10, **options)
        asked = RunOptions(network={}, strategy=AllReduce(), config=config, callbacks=[self.recorder])
        run = Run(asked, dealt(3), None, deal_anew=dealt)
        run._seconds_an_epoch = seconds_an_epoch
        return run._train_segment(START, "driver", CHANNEL, LISTENER)

    def _segment(self, blocks: Any, coming: Iterator[SegmentFailed]) -> tuple[TrainingState, list[dict[str, Any]]]:
        self.tried_with.append(blocks.workers)
        if (failure := next(coming, None)) is not None:
            raise failure
        return END, []

    @staticmethod
    def _slots(slots: int, *, least: int, wait_seconds: float) -> int:
        if slots < least:
            raise ResourceError(f"has {slots} slots after {wait_seconds} s")
        return slots


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch) -> Setting:
    return Setting(monkeypatch)


def test_a_failed_segment_is_run_again_after_growing_pauses(setting: Setting) -> None:
    assert setting.train([lost(number) for number in range(7)], max_restarts=7) is END
    assert setting.pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert setting.recorder.events == [
        Restarted(epoch=4, attempt=number + 2, restarts_left=6 - number, reason=f"loss {number}") for number in range(7)
    ]


def test_once_the_restarts_are_used_up_the_error_has_the_history_of_all_attempts(setting: Setting) -> None:
    with pytest.raises(WorkerError) as caught:
        setting.train([lost(1), lost(2), lost(3)], max_restarts=2)
    assert str(caught.value).splitlines() == [
        "loss 3",
        "Training failed 3 times, and --max-restarts allows 2:",
        "  attempt 1: loss 1",
        "  attempt 2: loss 2",
        "  attempt 3: loss 3",
    ]


def unreachable(number: int) -> SegmentFailed:
    failure = WorkerFailure(
        rank=number, host="h", epoch=0, step=0, kind="UnreachableError", message="could not reach", is_victim=True
    )
    return SegmentFailed(failure, WorkerError(f"unreachable {number}"), is_final=False)


def test_workers_that_never_reached_each_other_are_not_tried_again(setting: Setting) -> None:
    with pytest.raises(WorkerError, match=r"^unreachable 0$"):
        setting.train([unreachable(0)])
    assert not setting.recorder.events


def test_workers_that_have_lost_each_other_are_tried_again(setting: Setting) -> None:
    assert setting.train([unreachable(0), unreachable(0)], seconds_an_epoch=1.0) is END
    assert setting.pauses == [1.0, 2.0]


def test_what_the_cluster_takes_is_not_counted(setting: Setting) -> None:
    taken = [lost(number, by_cluster=True) for number in range(20)]
    assert setting.train(taken, max_restarts=0) is END
    left = [event.restarts_left for event in setting.recorder.events if isinstance(event, Restarted)]
    assert left == [0] * 20


def test_a_cluster_that_takes_without_end_ends_the_run(setting: Setting) -> None:
    taken = [lost(number, by_cluster=True) for number in range(22)]
    with pytest.raises(WorkerError, match="Training failed 2 times, and --max-restarts allows 1:"):
        setting.train(taken, max_restarts=1)


def test_a_session_that_ended_is_the_end_of_the_run_and_told_as_such(setting: Setting) -> None:
    setting.has_ended = True
    with pytest.raises(WorkerError, match=r"^the Spark session ended during training: .* --resume goes on"):
        setting.train([lost(1, by_cluster=True)])
    assert not setting.recorder.events


def test_where_executors_stay_away_the_images_are_dealt_out_to_fewer_workers(setting: Setting) -> None:
    assert setting.train([], slots=2, min_workers=2) is END
    assert setting.tried_with == [2]
    assert setting.recorder.events == [Resharded(epoch=4, workers=2, workers_before=3, steps_per_epoch=3)]


@pytest.mark.parametrize(("slots", "options"), [(2, {}), (1, {"min_workers": 2})])
def test_too_few_workers_end_the_run_with_the_remedies(setting: Setting, slots: int, options: dict[str, int]) -> None:
    with pytest.raises(ResourceError) as caught:
        setting.train([lost(1)], slots=slots, **options)
    assert str(caught.value).startswith(
        "after epoch 4 executors are missing, and did not come within 120 s; --resume goes on when they are back, "
        f"--min-workers allows fewer: has {slots} slots after 120.0 s"
    )
    assert not setting.tried_with


def test_the_shards_are_part_of_what_identifies_a_run_unless_they_may_change() -> None:
    for least, expected in ((None, {"sizes"}), (1, set())):
        asked = RunOptions(network={}, strategy=AllReduce(), config=TrainingConfig(min_workers=least))
        assert Run(asked, dealt(3), None, deal_anew=dealt)._fingerprint().keys() & {"sizes", "min_workers"} == expected


def test_the_test_identifies_a_run_where_it_chooses_the_model() -> None:
    for patience, expected in ((None, {"examples"}), (2, {"examples", "test_examples"})):
        asked = RunOptions(network={}, strategy=AllReduce(), config=TrainingConfig(patience=patience, evaluate_every=1))
        found = Run(asked, dealt(3), None, deal_anew=dealt, test_digest="0123")._fingerprint()
        assert found.keys() & {"examples", "test_examples"} == expected
        assert patience is None or found["test_examples"] == "0123"
