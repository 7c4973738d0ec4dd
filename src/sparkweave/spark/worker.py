"""What a Spark task does in a segment: drain its shard, join the gang, train, hand back the state."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from sparkweave.distributed.channel import ChannelAddress, channel_to
from sparkweave.distributed.network import DIRECT, Network
from sparkweave.errors import CollectiveError, SparkweaveError
from sparkweave.events import IterationEnded, StepMeasured, to_record
from sparkweave.spark.failures import WorkerFailed, WorkerFailure
from sparkweave.spark.python_worker import freeze_imports
from sparkweave.training.task import SegmentTask

if TYPE_CHECKING:
    from sparkweave.training.loop import EpochTally

RESULT_COLUMNS = "rank int, kind string, part int, payload binary"
_RESULT_FIELDS: list[tuple[str, pa.DataType]] = [
    ("rank", pa.int32()),
    ("kind", pa.string()),
    ("part", pa.int32()),
    ("payload", pa.binary()),
]
_RESULT = pa.schema(_RESULT_FIELDS)
_PART_BYTES = 32 << 20
_VICTIM_WAIT_SECONDS = 3.0


class Blobs(Protocol):
    """A broadcast variable, or anything else with the bytes of a state by name in ``value``."""

    @property
    def value(self) -> Mapping[str, bytes]:
        """The blobs."""


@dataclass(frozen=True, kw_only=True)
class Gang:
    """How the workers of one attempt find the driver and each other.

    Attributes:
        world_size: How many workers there are.
        driver: The driver's host: workers talk over the interface that leads there.
        channel: Takes their events.
        network: May ask for another interface, or another way.
    """

    world_size: int
    driver: str
    channel: ChannelAddress | None = None
    network: Network = DIRECT


def run_worker(
    batches: Iterable[pa.RecordBatch], *, task: SegmentTask, gang: Gang, state: Blobs, local: Mapping[int, Blobs]
) -> Iterator[pa.RecordBatch]:
    """Barrier task: trains one segment as the worker whose rank is the partition's number.

    Args:
        batches: Of the shard.
        task: What to do.
        gang: Whom with.
        state: All workers' part of the state to start from.
        local: By rank, each worker's own part, which only that worker reads.

    Yields:
        Batches of the columns `RESULT_COLUMNS`: a row of kind ``tallies`` (JSON) from each worker, the blobs of the new state in
        parts from worker 0, and each worker's own.
    """
    from pyspark import BarrierTaskContext

    context = BarrierTaskContext.get()
    resources = {name: list(resource.addresses) for name, resource in context.resources().items()}
    yield from train_in_gang(
        batches,
        task=task,
        gang=gang,
        state=state,
        local=local.get(context.partitionId()),
        rank=context.partitionId(),
        exchange=context.allGather,
        resources=resources,
        threads=context.cpus(),
    )


def train_in_gang(
    batches: Iterable[pa.RecordBatch],
    *,
    task: SegmentTask,
    gang: Gang,
    state: Blobs,
    local: Blobs | None = None,
    rank: int,
    exchange: Callable[[str], list[str]],
    resources: Mapping[str, Sequence[str]],
    threads: int,
) -> Iterator[pa.RecordBatch]:
    """What `run_worker` does, given what it asks Spark for."""
    import torch

    from sparkweave.data.shard import drain
    from sparkweave.distributed.gang import joined
    from sparkweave.training.device import choose_device
    from sparkweave.training.loop import Progress, train_segment
    from sparkweave.training.native_memory import native_memory
    from sparkweave.training.state import TrainingState, rank_of

    config = task.config
    torch.set_num_threads(threads)
    freeze_imports()
    progress = Progress()
    host = socket.gethostname()
    sender = {"rank": rank, "host": host, "pid": os.getpid()}
    with channel_to(gang.channel, sender) as send, _reported(sender, progress, send):
        shard = drain(batches, rank=rank, labels=task.labels, shape=task.input_shape)
        device = choose_device(resources)
        with native_memory(config.native_memory, mapped=shard.inputs.nbytes, batch_size=config.batch_size):
            own = local.value if local else {}
            start = TrainingState.from_blobs(task.first_epoch - 1, {**state.value, **own})
            with joined(
                exchange,
                network=gang.network,
                rank=rank,
                world_size=gang.world_size,
                device=device,
                timeout_seconds=config.collective_timeout_seconds,
                towards=gang.driver,
            ) as collective:
                end, tallies = train_segment(
                    task,
                    start,
                    shard,
                    collective,
                    device=device,
                    report=lambda report: send(_message(report, host)),
                    progress=progress,
                )
            rows = [(rank, "tallies", 0, json.dumps([_record(tally, host) for tally in tallies]).encode())]
            blobs = end.to_blobs()
            rows += _parts(rank, {name: blob for name, blob in blobs.items() if rank == 0 or rank_of(name) == rank})
    for row in rows:
        yield pa.RecordBatch.from_pylist([dict(zip(_RESULT.names, row, strict=True))], schema=_RESULT)


def _message(report: IterationEnded | StepMeasured | EpochTally, host: str) -> dict[str, Any]:
    if isinstance(report, IterationEnded):
        return to_record(report)
    if isinstance(report, StepMeasured):
        # Apart, since it has a time and a host of its own beside the message's.
        return {"event": "measured", "measured": to_record(replace(report, host=host))}
    return {"event": "tally", "tally": _record(report, host)}


def _record(tally: EpochTally, host: str) -> dict[str, Any]:
    return {**asdict(tally), "host": host}


def _parts(rank: int, blobs: Mapping[str, bytes]) -> Iterator[tuple[int, str, int, bytes]]:
    for name, blob in blobs.items():
        for part, start in enumerate(range(0, max(len(blob), 1), _PART_BYTES)):
            yield rank, name, part, blob[start : start + _PART_BYTES]


def assemble(rows: Iterable[Any]) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """The tallies of all workers, and the new state's blobs, from the collected rows of `run_worker`."""
    tallies: list[dict[str, Any]] = []
    parts: dict[str, dict[int, bytes]] = {}
    for row in rows:
        if row["kind"] == "tallies":
            tallies += json.loads(bytes(row["payload"]))
        else:
            parts.setdefault(row["kind"], {})[row["part"]] = bytes(row["payload"])
    return tallies, {name: b"".join(pieces[part] for part in sorted(pieces)) for name, pieces in parts.items()}


@contextlib.contextmanager
def _reported(sender: Mapping[str, Any], progress: Any, send: Callable[[Mapping[str, Any]], None]) -> Iterator[None]:
    """Turns whatever is raised into a report that the driver finds in Spark's error text."""
    try:
        yield
    except Exception as error:
        is_victim = isinstance(error, CollectiveError)
        failure = WorkerFailure(
            rank=sender["rank"],
            host=sender["host"],
            epoch=progress.epoch,
            step=progress.step,
            kind=type(error).__name__,
            message=str(error),
            trace="".join(traceback.format_exception(error)[-6:])[-4000:],
            is_victim=is_victim,
            is_final=isinstance(error, SparkweaveError) and not is_victim,
        )
        send({"event": "failure", **asdict(failure)})
        if is_victim:
            time.sleep(_VICTIM_WAIT_SECONDS)
        raise WorkerFailed(failure.encode()) from error
