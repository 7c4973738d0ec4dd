"""Machines that leave in mid-training, in order or not, and come back or don't: on Spark's own cluster manager."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.training_faults import Watcher, assert_same, fit

from sparkweave.errors import ArtifactError, ResourceError
from sparkweave.events import Resharded, Restarted
from sparkweave.spark import run
from sparkweave.testing.archives import write_image_archive

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from sparkweave.spark.model import TrainedModel
    from sparkweave.testing.standalone import StandaloneCluster

# The first segment is one epoch, the second one all others: long enough that what is done after epoch 2 is done in mid-training.
LONG = {"epochs": 300, "segment_seconds": 600.0}

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("faults") / "train.zip"
    write_image_archive(path, labels=("0", "1", "2"), images_per_label=40, size=(8, 8))
    return str(path)


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, TrainedModel]:
    """Kept by the first test that needs it: the session is not there before a test is."""
    return {}


@pytest.mark.parametrize("way", ["killed", "decommissioned"])
def test_what_the_cluster_takes_and_replaces_is_no_failure_and_leaves_no_trace(
    way: str,
    standalone: StandaloneCluster,
    standalone_spark: SparkSession,
    archive: str,
    undisturbed: dict[str, TrainedModel],
) -> None:
    def take() -> None:
        number = standalone.newest_worker()
        if way == "killed":
            standalone.kill_worker(number)
            standalone.start_worker()
        else:
            standalone.start_worker()
            standalone.decommission_worker(number)

    if not undisturbed:
        undisturbed["straight"] = fit(standalone_spark, archive, **LONG)
    watcher = Watcher(take, after_epoch=2)
    assert_same(fit(standalone_spark, archive, watcher, max_restarts=0, **LONG), undisturbed["straight"])
    assert watcher.acted
    if way == "killed":
        (event,) = watcher.events
        assert isinstance(event, Restarted)
        assert (event.epoch, event.restarts_left) == (1, 0)


def test_a_run_goes_on_with_the_workers_that_are_left_and_can_be_taken_up_by_as_many(
    standalone: StandaloneCluster,
    standalone_spark: SparkSession,
    archive: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "_SLOTS_BACK_SECONDS", 3.0)
    watcher = Watcher(lambda: standalone.kill_worker(standalone.newest_worker()), after_epoch=2)
    options = {**LONG, "min_workers": 1, "checkpoint_dir": str(tmp_path / "run")}
    model = fit(standalone_spark, archive, watcher, **options)
    restarted, resharded = watcher.events
    assert isinstance(restarted, Restarted)
    assert resharded == Resharded(epoch=1, workers=1, workers_before=2, steps_per_epoch=12)
    assert [record["epoch"] for record in model.history if record["event"] == "reshard"] == [1]
    epochs = [record for record in model.history if record["event"] == "epoch"]
    assert [(record["epoch"], record["examples"]) for record in epochs] == [(epoch, 120) for epoch in range(1, 301)]

    more = {**options, "workers": 1, "epochs": 301, "resume": True}
    started = [record for record in fit(standalone_spark, archive, **more).history if record["event"] == "run_started"]
    assert [(record["workers"], record["first_epoch"]) for record in started] == [(2, 1), (1, 301)]
    with pytest.raises(ArtifactError, match="holds the checkpoints of another run: sizes is None there"):
        fit(standalone_spark, archive, **{**more, "min_workers": None})


def test_without_leave_to_shrink_a_run_ends_with_the_remedies(
    standalone: StandaloneCluster, standalone_spark: SparkSession, archive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_SLOTS_BACK_SECONDS", 3.0)
    watcher = Watcher(lambda: standalone.kill_worker(standalone.newest_worker()), after_epoch=2)
    with pytest.raises(ResourceError, match="after epoch 1 executors are missing") as caught:
        fit(standalone_spark, archive, watcher, **LONG)
    for remedy in ("--resume goes on", "--min-workers allows fewer", "needs 2 workers, this session has 1 slots"):
        assert remedy in str(caught.value)
