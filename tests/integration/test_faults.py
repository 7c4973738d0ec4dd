"""Faults in mid-training on `local-cluster`: what is survived ends in the same model as if nothing had happened."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyspark import BarrierTaskContext
from tests.integration.training_faults import Watcher, assert_same, fit

from sparkweave.errors import WorkerError
from sparkweave.events import Restarted
from sparkweave.spark import listener, segment
from sparkweave.spark.worker import run_worker
from sparkweave.strategies import GradientSharing
from sparkweave.testing.archives import write_image_archive
from sparkweave.testing.faults import Fault, injected

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from sparkweave.spark.model import TrainedModel

pytestmark = pytest.mark.timeout(600)

SAYS = {
    "kill-worker": "a Python worker died",
    "kill-executor": "an executor was lost",
    "crash": "its Python process crashed in native code: Segmentation fault",
    "raise": "ArithmeticError: a fault on purpose",
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("faults") / "train.zip"
    write_image_archive(path, labels=("0", "1", "2"), images_per_label=40, size=(8, 8))
    return str(path)


@pytest.fixture(scope="module")
def undisturbed(cluster_spark: SparkSession, archive: str) -> TrainedModel:
    return fit(cluster_spark, archive)


@pytest.mark.parametrize("kind", SAYS)
def test_a_fault_that_happens_once_leaves_no_trace_in_the_model(
    kind: str, cluster_spark: SparkSession, archive: str, undisturbed: TrainedModel, tmp_path: Path
) -> None:
    restarts = Watcher()
    fault = Fault(kind=kind, rank=1, step=3, marker=str(tmp_path / "struck"))
    with injected(cluster_spark, fault):
        model = fit(cluster_spark, archive, restarts)
    assert (tmp_path / "struck").exists()
    (event,) = restarts.events
    assert isinstance(event, Restarted)
    assert SAYS[kind] in event.reason.splitlines()[0]
    assert_same(model, undisturbed)


def test_neither_does_one_where_workers_have_a_state_of_their_own(
    cluster_spark: SparkSession, archive: str, tmp_path: Path
) -> None:
    strategy = GradientSharing(target_sparsity=0.1, exchange_frequency=2, staleness=1)
    undisturbed = fit(cluster_spark, archive, strategy=strategy)
    restarts, run = Watcher(), str(tmp_path / "run")
    fit(cluster_spark, archive, strategy=strategy, epochs=1, checkpoint_dir=run)
    # In epoch 2, which starts from what the workers kept of epoch 1.
    fault = Fault(kind="kill-worker", rank=1, step=3, marker=str(tmp_path / "struck"))
    with injected(cluster_spark, fault):
        model = fit(cluster_spark, archive, restarts, strategy=strategy, checkpoint_dir=run, resume=True)
    (event,) = restarts.events
    assert isinstance(event, Restarted)
    assert event.epoch == 1
    assert_same(model, undisturbed)


def test_the_first_failing_worker_is_named_and_not_tried_a_third_time(
    cluster_spark: SparkSession, archive: str, tmp_path: Path
) -> None:
    restarts = Watcher()
    fault = Fault(kind="raise", rank=1, step=3, marker=str(tmp_path / "struck"), always=True)
    with injected(cluster_spark, fault), pytest.raises(WorkerError) as caught:
        fit(cluster_spark, archive, restarts)
    assert len(restarts.events) == 1
    assert (caught.value.rank, caught.value.step) == (1, 3)
    first_line = str(caught.value).splitlines()[0]
    assert first_line.startswith("worker 1 on ")
    assert first_line.endswith("failed in step 3 of epoch 1: ArithmeticError: a fault on purpose")
    assert "It failed twice at the same step" in str(caught.value)


def test_a_loss_that_is_not_a_number_ends_the_run_at_once(
    cluster_spark: SparkSession, archive: str, tmp_path: Path
) -> None:
    restarts = Watcher()
    fault = Fault(kind="nan", rank=0, step=2, marker=str(tmp_path / "struck"), always=True)
    with injected(cluster_spark, fault), pytest.raises(WorkerError, match="the loss is nan; lower --learning-rate"):
        fit(cluster_spark, archive, restarts)
    assert not restarts.events


def test_a_stopped_worker_is_noticed_and_its_process_is_gone(
    cluster_spark: SparkSession, archive: str, tmp_path: Path
) -> None:
    fault = Fault(kind="stop", rank=1, step=3, marker=str(tmp_path / "struck"))
    timeout = 8.0
    with injected(cluster_spark, fault), pytest.raises(WorkerError) as caught:
        fit(cluster_spark, archive, collective_timeout_seconds=timeout, max_restarts=0)
    assert time.time() - os.path.getmtime(tmp_path / "struck") < timeout + 15
    assert "worker 1 (host " in str(caught.value)
    assert "was last heard of" in str(caught.value)
    deadline = time.monotonic() + 15
    while stopped_processes() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not stopped_processes()


def test_a_stopped_worker_without_peers_is_noticed_too(
    cluster_spark: SparkSession, archive: str, tmp_path: Path
) -> None:
    restarts = Watcher()
    undisturbed = fit(cluster_spark, archive, workers=1)
    fault = Fault(kind="stop", rank=0, step=3, marker=str(tmp_path / "struck"))
    with injected(cluster_spark, fault):
        model = fit(cluster_spark, archive, restarts, workers=1, collective_timeout_seconds=3.0)
    (event,) = restarts.events
    assert isinstance(event, Restarted)
    assert event.reason.startswith("worker 0 (host ")
    assert "it is stopped or hangs" in event.reason
    assert_same(model, undisturbed)


def stops_before_anything_is_heard(batches: Iterable[Any], **arguments: Any) -> Iterator[Any]:
    """A worker whose process of rank 1 is stopped while it starts."""
    if BarrierTaskContext.get().partitionId() == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    yield from run_worker(batches, **arguments)


def test_a_worker_that_is_stopped_while_it_starts_is_noticed(
    cluster_spark: SparkSession, archive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "run_worker", stops_before_anything_is_heard)
    monkeypatch.setattr(listener, "_LONGEST_START_SECONDS", 10.0)
    with pytest.raises(
        WorkerError, match=r"worker 1 has not been heard of 1[0-9] s after the first one: it is stopped"
    ):
        fit(cluster_spark, archive, collective_timeout_seconds=3.0, max_restarts=0)


def test_a_slow_worker_is_left_alone_and_named_in_the_history(
    cluster_spark: SparkSession, archive: str, undisturbed: TrainedModel, tmp_path: Path
) -> None:
    watcher = Watcher()
    fault = Fault(kind="slow", rank=1, step=3, marker=str(tmp_path / "struck"))
    with injected(cluster_spark, fault):
        model = fit(cluster_spark, archive, watcher)
    assert not watcher.events
    first = next(record for record in model.history if record["event"] == "epoch")
    assert first["straggler"].startswith("worker 1 on ")
    assert first["straggler_factor"] > 1.5
    assert_same(model, undisturbed)


def stopped_processes() -> list[str]:
    """Python workers of this user that are stopped by a signal."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
            command = (stat.parent / "cmdline").read_text()
        except OSError:
            continue
        if text.rpartition(")")[2].split()[0] == "T" and "pyspark" in command:
            found.append(command)
    return found
