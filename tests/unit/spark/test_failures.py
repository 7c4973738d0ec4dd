"""A worker's failure on its way through Spark's error text."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweave.spark.failures import WorkerFailed, WorkerFailure, describe, find_failures

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


def test_a_description_is_short() -> None:
    described: Any = describe("x" * 10_000 + "\nLost executor 1")
    assert len(described) < 400
