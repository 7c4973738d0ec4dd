"""What is made of a segment's failed job, without Spark."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.gangs import make_task

from sparkweave.spark.failures import WorkerFailure
from sparkweave.spark.listener import Listener
from sparkweave.spark.segment import SegmentFailed, _failed
from sparkweave.strategies import AllReduce

BARRIER = (
    "An error occurred while calling o1.collectToPython.\n: org.apache.spark.SparkException: Job aborted due to stage failure: Could not "
    "recover from a failed barrier ResultStage. Most recent failure reason: Stage failed because barrier task ResultTask(3, 1) finished "
    "unsuccessfully.\n"
)
VICTIM = WorkerFailure(rank=0, host="h", epoch=2, step=3, kind="CollectiveError", message="lost a peer", is_victim=True)
CAUSE = WorkerFailure(rank=1, host="h", epoch=2, step=3, kind="ValueError", message="on purpose")


def failed(text: str, *told: WorkerFailure, silent: tuple[str, ...] = ()) -> SegmentFailed:
    listener = Listener(lambda _: None, epochs=3)
    listener.reset(workers=2)
    heard: dict[str, Any] = {"rank": 1, "host": "node7", "pid": 7, "time": 0.0, "event": "heartbeat"}
    listener.receive(heard)
    listener.closed(heard)
    listener.failures.extend(told)
    return _failed(text, listener, make_task(AllReduce(), (30, 30)), list(silent))


def test_the_failing_workers_own_report_comes_before_its_victims() -> None:
    found = failed(BARRIER + VICTIM.encode(), CAUSE)
    assert str(found.error) == "worker 1 on h failed in step 3 of epoch 2: ValueError: on purpose"
    assert (found.error.rank, found.failure) == (1, CAUSE)


def test_a_worker_that_died_is_named_first_and_its_victim_under_it() -> None:
    found = failed(BARRIER + "org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)", VICTIM)
    first, second = str(found.error).splitlines()
    assert first.startswith("worker 1 on node7: a Python worker died (killed, out of memory, or crashed): ")
    assert "`sparkweave plan` says how far" in first
    assert second == "  then worker 0 on h failed in step 3 of epoch 2: CollectiveError: lost a peer"
    assert found.error.rank == 1
    assert not found.is_clusters_doing


def test_the_reason_of_a_lost_executor_comes_before_the_victim_that_spark_names() -> None:
    text = f"Lost executor: Container from a bad node: c. Exit status: 137.\n{BARRIER}{VICTIM.encode()}"
    found = failed(text)
    first, second = str(found.error).splitlines()
    assert first.startswith("an executor was lost (exit status 137): Lost executor: Container from a bad node: c")
    assert second.startswith("  then worker 0 on h failed")
    assert found.error.rank is None


def test_a_victim_alone_speaks_for_itself() -> None:
    text = BARRIER.replace("ResultTask(3, 1)", "ResultTask(3, 0)") + VICTIM.encode()
    assert str(failed(text).error) == "worker 0 on h failed in step 3 of epoch 2: CollectiveError: lost a peer"


@pytest.mark.parametrize("told", [(), (VICTIM,)])
def test_what_the_cluster_took_is_told_apart(told: tuple[WorkerFailure, ...]) -> None:
    assert failed(
        f"{BARRIER}ExecutorLostFailure (executor 1 exited unrelated to the running tasks)", *told
    ).is_clusters_doing
    assert not failed(
        f"{BARRIER}ExecutorLostFailure (executor 1 exited unrelated to the running tasks)", CAUSE
    ).is_clusters_doing


def test_a_silent_worker_is_named_and_a_cancelled_job_is_final() -> None:
    assert "worker 1 hangs: it is stopped" in str(failed("Job 3 cancelled", silent=("worker 1 hangs",)).error)
    assert failed("Job 3 cancelled part of cancelled job group").is_final


def test_a_cancelled_operation_of_spark_connects_is_final_too() -> None:
    assert failed("[OPERATION_CANCELED] Operation has been canceled. SQLSTATE: HY008").is_final
