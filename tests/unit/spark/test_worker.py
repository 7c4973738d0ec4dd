"""What a Spark task does in a segment, without Spark."""

from __future__ import annotations

import dataclasses
import errno
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pytest
from tests.unit.data.rows import make_batches, make_row
from tests.unit.gangs import first_state, make_task

from sparkweave.data.blocks import to_blocks
from sparkweave.distributed.channel import ChannelServer
from sparkweave.distributed.network import Network
from sparkweave.errors import CollectiveError, TrainingError, UnreachableError
from sparkweave.spark import worker
from sparkweave.spark.failures import WorkerFailed, WorkerFailure, find_failures
from sparkweave.spark.worker import RESULT_COLUMNS, Gang, assemble, train_in_gang
from sparkweave.strategies import AllReduce
from sparkweave.training.loop import Progress
from sparkweave.training.state import TrainingState
from sparkweave.training.task import SegmentTask

GANG = Gang(world_size=1, driver="localhost")


@dataclasses.dataclass
class Broadcast:
    value: Mapping[str, bytes]


def make_segment(**options: Any) -> tuple[SegmentTask, list[pa.RecordBatch]]:
    rows = [make_row(number, size=(8, 8, 1)) for number in range(10)]
    return make_task(AllReduce(), (10,), **options), list(to_blocks(make_batches(rows), shards=1, seed=0))


def run(task: SegmentTask, batches: Any, *, gang: Gang = GANG, threads: int = 1) -> list[dict[str, Any]]:
    state = Broadcast(first_state(task).to_blobs())
    return [
        row
        for batch in train_in_gang(
            batches,
            task=task,
            gang=gang,
            state=state,
            rank=0,
            exchange=lambda text: [text],
            resources={},
            threads=threads,
        )
        for row in batch.to_pylist()
    ]


def failure_of(task: SegmentTask, batches: Any, *, gang: Gang = GANG) -> WorkerFailure:
    with pytest.raises(WorkerFailed) as failed:
        run(task, batches, gang=gang)
    (failure,) = find_failures(str(failed.value))
    return failure


def test_a_segment_gives_tallies_and_the_new_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_PART_BYTES", 1000)
    task, batches = make_segment()
    rows = run(task, batches)
    assert set(rows[0]) == {column.split()[0] for column in RESULT_COLUMNS.split(", ")}
    tallies, blobs = assemble(rows[::-1])
    assert [(tally["rank"], tally["epoch"], tally["examples"]) for tally in tallies] == [(0, 1, 10), (0, 2, 10)]
    assert sum(row["kind"] == "model.safetensors" for row in rows) > 1
    state = TrainingState.from_blobs(2, blobs)
    assert set(state.weights) == set(first_state(task).weights)
    assert state.optimizer is not None
    assert json.dumps(tallies)


def test_its_steps_reach_the_driver() -> None:
    received: list[dict[str, Any]] = []
    task, batches = make_segment(log_every=1)
    with ChannelServer(lambda message: received.append(dict(message)), host="127.0.0.1") as server:
        run(task, batches, gang=dataclasses.replace(GANG, channel=server.next_attempt()))
        deadline = time.monotonic() + 5
        while sum(message["event"] == "iteration" for message in received) < 6 and time.monotonic() < deadline:
            time.sleep(0.01)
    steps = [(message["epoch"], message["step"]) for message in received if message["event"] == "iteration"]
    assert steps == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]


def test_an_error_is_reported_with_its_place() -> None:
    task, batches = make_segment(learning_rate=1e30, optimizer="sgd")
    failure = failure_of(task, batches)
    assert (failure.rank, failure.epoch, failure.kind) == (0, 1, "TrainingError")
    assert failure.step >= 2
    assert "the loss is" in failure.message
    assert "TrainingError" in failure.trace
    assert failure.is_final
    assert not failure.is_victim


def test_an_error_before_the_first_step_may_be_tried_again() -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        raise ConnectionResetError(errno.ECONNRESET, "the JVM is gone")
        yield

    task, _ = make_segment()
    failure = failure_of(task, broken())
    assert (failure.epoch, failure.step, failure.kind) == (0, 0, "ConnectionResetError")
    assert not failure.is_final


def test_a_subnet_that_the_host_has_no_part_in_is_final() -> None:
    task, batches = make_segment()
    gang = dataclasses.replace(GANG, network=Network(subnet="192.0.2.240/30"))
    failure = failure_of(task, batches, gang=gang)
    assert (failure.kind, failure.is_final, failure.is_victim) == ("ResourceError", True, False)
    assert "has no interface in the subnet 192.0.2.240/30" in failure.message


def test_the_transport_is_the_networks() -> None:
    task, batches = make_segment()
    expected = assemble(run(task, batches))[1]
    gang = dataclasses.replace(GANG, network=Network(transport="spark", subnet="192.0.2.240/30"))
    assert assemble(run(task, batches, gang=gang))[1] == expected


def test_a_failure_reaches_the_driver_over_the_channel_too() -> None:
    received: list[dict[str, Any]] = []
    task, batches = make_segment(learning_rate=1e30, optimizer="sgd")
    with ChannelServer(lambda message: received.append(dict(message)), host="127.0.0.1") as server:
        failure = failure_of(task, batches, gang=dataclasses.replace(GANG, channel=server.next_attempt()))
        deadline = time.monotonic() + 5
        while not any(message["event"] == "failure" for message in received) and time.monotonic() < deadline:
            time.sleep(0.01)
    (told,) = [message for message in received if message["event"] == "failure"]
    assert told["message"] == failure.message


@pytest.mark.parametrize(
    ("error", "is_victim", "is_final"),
    [
        (CollectiveError("lost a peer"), True, False),
        (UnreachableError("could not reach a peer"), True, False),
        (TrainingError("no number"), False, True),
        (KeyError("x"), False, False),
    ],
    ids=["victim", "unreachable", "final", "other"],
)
def test_victims_wait_so_that_the_cause_is_heard_first(
    monkeypatch: pytest.MonkeyPatch, error: Exception, is_victim: bool, is_final: bool
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(worker.time, "sleep", slept.append)
    sent: list[Mapping[str, Any]] = []
    with (
        pytest.raises(WorkerFailed) as failed,
        worker._reported({"rank": 4, "host": "node7"}, Progress(epoch=2, step=3), sent.append),
    ):
        raise error
    (failure,) = find_failures(str(failed.value))
    assert (failure.rank, failure.host, failure.epoch, failure.step) == (4, "node7", 2, 3)
    assert (failure.is_victim, failure.is_final) == (is_victim, is_final)
    assert bool(slept) is is_victim
    assert len(sent) == 1


@pytest.mark.parametrize("blob", [b"", b"abc", b"x" * 70])
def test_blobs_survive_in_parts(monkeypatch: pytest.MonkeyPatch, blob: bytes) -> None:
    monkeypatch.setattr(worker, "_PART_BYTES", 32)
    rows: Sequence[dict[str, Any]] = [
        dict(zip(("rank", "kind", "part", "payload"), row, strict=True))
        for row in worker._parts(0, {"a": blob, "b": b"1"})
    ]
    assert assemble(rows) == ([], {"a": blob, "b": b"1"})
