"""A worker's failure on its way through Spark's error text."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweave.spark.failures import (
    WorkerFailed,
    WorkerFailure,
    describe,
    failed_rank,
    find_failures,
    is_clusters_doing,
    unfit_executor,
)

FAILURE = WorkerFailure(rank=2, host="node7", epoch=3, step=14, kind="ArithmeticError", message="on purpose")

failures = st.builds(
    WorkerFailure,
    rank=st.integers(0, 1000),
    host=st.text(),
    epoch=st.integers(0, 100),
    step=st.integers(0, 10**6),
    kind=st.text(),
    message=st.text(),
    trace=st.text(),
    is_victim=st.booleans(),
    is_final=st.booleans(),
)


@given(failure=failures, before=st.text(), after=st.text())
def test_a_report_is_found_again_in_any_text(failure: WorkerFailure, before: str, after: str) -> None:
    assert find_failures(before.replace("<", "") + failure.encode() + after.replace("<", "")) == [failure]


@given(failure=failures)
def test_a_report_is_one_line_of_plain_characters(failure: WorkerFailure) -> None:
    assert failure.encode().isascii()
    assert len(failure.encode().splitlines()) == 1


def test_it_survives_in_the_text_of_an_exception_and_is_told_once() -> None:
    error = WorkerFailed(FAILURE.encode())
    text = f"org.apache.spark.SparkException: Job aborted\n{error}\n\tat Task.run(Task.scala)\nCaused by: {error!r}"
    assert find_failures(text) == [FAILURE]


def test_victims_come_last() -> None:
    victims = [dataclasses.replace(FAILURE, rank=rank, is_victim=True) for rank in (0, 1)]
    text = "\n".join(failure.encode() for failure in (*victims, FAILURE))
    assert find_failures(text) == [FAILURE, *victims]


@pytest.mark.parametrize("cut", [1, 30, 100, -1, -10, -30])
def test_a_report_that_was_cut_off_does_not_hide_a_whole_one(cut: int) -> None:
    other = dataclasses.replace(FAILURE, rank=9)
    assert find_failures(other.encode()[:cut] + FAILURE.encode()) == [FAILURE]


@pytest.mark.parametrize("text", ["", "no report", "<sparkweave-worker-failure>", "</sparkweave-worker-failure>"])
def test_without_a_report_nothing_is_found(text: str) -> None:
    assert find_failures(text) == []


@pytest.mark.parametrize("content", ["", "not json", "[]", "7", "{}", '{"rank": 1}'])
def test_what_only_looks_like_a_report_is_passed_over(content: str) -> None:
    text = f"<sparkweave-worker-failure>{content}</sparkweave-worker-failure>"
    assert find_failures(text + FAILURE.encode()) == [FAILURE]


def test_a_failure_tells_who_failed_where_and_why() -> None:
    assert str(FAILURE) == "worker 2 on node7 failed in step 14 of epoch 3: ArithmeticError: on purpose"
    early = dataclasses.replace(FAILURE, epoch=0, step=0)
    assert str(early) == "worker 2 on node7 failed before its first step: ArithmeticError: on purpose"


CAUSES: list[tuple[str, str]] = [
    ("ExecutorLostFailure (executor 1 exited caused by one of the running tasks)", "an executor was lost: Executor"),
    ("x\nLost executor 3 on node7: killed", "an executor was lost: x"),
    (
        "Container exited with exit code: 137 after executor 4 exited",
        "an executor was lost (exit status 137): Container",
    ),
    ("org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)", "a Python worker died"),
    ("java.io.EOFException", "a Python worker died"),
    ("java.io.IOException: No space left on device", "a disk is full"),
    ("\n\n  something else  \nmore", "the Spark job failed: something else"),
    ("", "the Spark job failed: "),
]


@pytest.mark.parametrize(("text", "sentence"), CAUSES, ids=range(len(CAUSES)))
def test_a_job_without_a_report_is_described_by_its_cause(text: str, sentence: str) -> None:
    assert describe(text).startswith(sentence)


BARRIER = (
    "Job aborted due to stage failure: Could not recover from a failed barrier ResultStage. Most recent failure reason: Stage failed "
    "because barrier task ResultTask(3, 0) finished unsuccessfully.\n"
)
LOST = BARRIER + "ExecutorLostFailure (executor 1 exited caused by one of the running tasks) Reason: "


def test_a_container_killed_by_yarn_is_told_with_limit_use_and_remedy() -> None:
    killed = "Container killed by YARN for exceeding physical memory limits. 2.3 GB of 1 GB physical memory used. "
    described = describe(LOST + killed + "Consider boosting spark.executor.memoryOverhead.")
    assert described.startswith(
        "YARN killed a container for exceeding its physical memory limit: 2.3 GB of 1 GB physical memory were in use; the limit is "
        "spark.executor.memory + spark.executor.memoryOverhead"
    )
    assert "lower --batch-size; `sparkweave plan` says how far" in described


def test_the_node_managers_own_words_are_understood() -> None:
    described = describe(
        "Container [pid=4711,containerID=container_1_0001_01_000002] is running 1395864371B beyond the 'PHYSICAL' memory limit. "
        "Current usage: 2.3 GB of 1 GB physical memory used; 8.1 GB of 2.1 GB virtual memory used. Killing container.\n"
        "Container killed on request. Exit code is 143\nContainer exited with a non-zero exit code 143.\n"
    )
    assert ": 2.3 GB of 1 GB physical memory were in use; " in described


def test_a_kill_without_figures_still_names_the_limit() -> None:
    described = describe(LOST + "Container killed by YARN for exceeding physical memory limits. Consider boosting x.")
    assert described.startswith("YARN killed a container for exceeding its physical memory limit; the limit is")


def test_virtual_memory_has_another_remedy() -> None:
    killed = "Container killed by YARN for exceeding virtual memory limits. 5.1 GB of 2.1 GB virtual memory used. Consider boosting "
    described = describe(LOST + killed + "spark.executor.memoryOverhead or boosting yarn.nodemanager.vmem-pmem-ratio")
    assert "5.1 GB of 2.1 GB virtual memory were in use; " in described
    assert "yarn.nodemanager.vmem-check-enabled" in described
    assert "--batch-size" not in described


@pytest.mark.parametrize(
    ("reason", "beginning"),
    [
        (
            "Container marked as failed: container_1 on host: h. Exit status: 137. Diagnostics: Killed.",
            "SIGKILL is how",
        ),
        ("The executor with id 1 exited with exit code 137(SIGKILL, possible container OOM).", "SIGKILL is how"),
        (
            "Container from a bad node: container_1. Exit status: 143. Diagnostics: Exit code is 143",
            "SIGTERM is how YARN",
        ),
    ],
    ids=["yarn", "kubernetes", "terminated"],
)
def test_exit_codes_of_killed_containers_lead_to_the_plan(reason: str, beginning: str) -> None:
    described = describe(LOST + reason)
    assert described.startswith(
        f"an executor was lost (exit status {'143' if '143' in reason else '137'}): ExecutorLostFailure (executor 1 exited"
    )
    assert beginning in described
    assert "`sparkweave plan` says how far" in described


UNRELATED = BARRIER + "ExecutorLostFailure (executor 1 exited unrelated to the running tasks) Reason: "


@pytest.mark.parametrize(
    "text",
    [
        UNRELATED + "worker lost: 127.0.0.1:35223 got disassociated",
        "Lost executor: worker lost: 127.0.0.1:35223 got disassociated",
        "Lost executor: Executor decommission: worker decommissioned",
        UNRELATED + "Container container_1_0001_01_000002 on host: node7 was preempted.",
        "Lost executor: Executor for container container_1_0001_01_000002 exited because of a YARN event (e.g., preemption)",
        "Lost executor: Container marked as failed: container_1_0001_01_000002 on host: localhost. Exit status: -100. Possible causes: x",
        "org.apache.spark.scheduler.BarrierJobSlotsNumberCheckFailed: [SPARK-24819]: Barrier execution mode does not allow",
    ],
    ids=["lost", "lost later", "decommission", "pre-emption", "yarn", "node", "too late"],
)
def test_what_the_cluster_took_is_told_from_what_failed(text: str) -> None:
    assert is_clusters_doing(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        LOST + "Command exited with code 137",
        LOST
        + "Container from a bad node: container_1 on host: localhost. Exit status: 137. Possible causes: Unknown executor",
        LOST + "Container killed by YARN for exceeding physical memory limits. 2.3 GB of 1 GB physical memory used.",
        "Container marked as failed: container_1 on host: node7. Exit status: -1000. Diagnostics: no such file",
        "org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)",
    ],
)
def test_what_the_run_did_itself_is_not_the_clusters_doing(text: str) -> None:
    assert not is_clusters_doing(text)


CRASH = """\
An error occurred while calling o404.collectToPython.
: org.apache.spark.SparkException: Job aborted due to stage failure: Could not recover from a failed barrier ResultStage. Most recent \
failure reason: Stage failed because barrier task ResultTask(6, 1) finished unsuccessfully.
org.apache.spark.SparkException: Python worker exited unexpectedly (crashed): Fatal Python error: Segmentation fault

Thread 0x00007f12194ff6c0 (most recent call first):
  File "threading.py", line 331 in wait

Current thread 0x00007f12f2a4cb80 (most recent call first):
  File "faults.py", line 115 in _strike
  File "faults.py", line 84 in forward

\tat org.apache.spark.api.python.BasePythonRunner$ReaderIterator
"""


def test_a_native_crash_is_told_with_the_stack_of_the_thread_that_crashed() -> None:
    assert describe(CRASH).splitlines() == [
        "its Python process crashed in native code: Segmentation fault",
        '  File "faults.py", line 115 in _strike',
        '  File "faults.py", line 84 in forward',
    ]


def test_spark_says_whose_task_failed() -> None:
    assert failed_rank(CRASH) == 1
    assert failed_rank("Job aborted due to stage failure") is None


def test_a_worker_that_died_alone_may_have_been_killed_for_its_memory() -> None:
    described = describe("org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)")
    assert "if it was killed for its memory, the limit is" in described


def test_a_description_is_short() -> None:
    described: Any = describe("x" * 10_000 + "\nLost executor 1")
    assert len(described) < 400


MISMATCH = (
    "Job aborted due to stage failure: Task 0 in stage 0.0 failed 4 times, most recent failure: Lost task 0.3 in stage 0.0 (TID 3) "
    "(10.0.0.5 executor 2): org.apache.spark.api.python.PythonException: Traceback (most recent call last):\n"
    "pyspark.errors.exceptions.base.PySparkRuntimeError: [PYTHON_VERSION_MISMATCH] Python in worker has different version: 3.12 than that "
    "in driver: 3.11, PySpark cannot run with different minor versions.\n"
)
NO_TORCH = (
    "Lost task 0.0 in stage 1.0 (TID 7) (10.0.0.6 executor 1): X\nModuleNotFoundError: No module named 'torch._C'\n"
)
NO_PYTHON = 'java.io.IOException: Cannot run program "/opt/python": error=2, No such file or directory\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MISMATCH, "executor 2 on 10.0.0.5 runs Python 3.12, and the driver 3.11;"),
        (NO_TORCH, "executor 1 on 10.0.0.6 has no torch in its Python;"),
        (NO_PYTHON, "an executor has no Python at /opt/python;"),
    ],
)
def test_an_executor_with_another_python_is_told_with_the_remedy(text: str, words: str) -> None:
    message = unfit_executor(text)
    assert message is not None
    assert message.startswith(words)
    assert "`sparkweave submit` ships this one" in message


@pytest.mark.parametrize(
    "text", ["ModuleNotFoundError: No module named 'my_network'", "ValueError: Python in worker", ""]
)
def test_other_failures_are_not_blamed_on_the_environment(text: str) -> None:
    assert unfit_executor(text) is None


def test_what_py4j_was_doing_is_not_the_reason() -> None:
    text = "An error occurred while calling z:PythonRDD.collectAndServe.\n: org.apache.spark.SparkException: Job 3 was lost\n"
    assert describe(text) == "the Spark job failed: org.apache.spark.SparkException: Job 3 was lost"
