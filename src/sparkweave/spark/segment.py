"""One segment: a barrier job that trains some epochs from a state and returns the new one."""

from __future__ import annotations

import contextlib
import re
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from sparkweave.distributed.channel import ChannelAddress
from sparkweave.distributed.network import DIRECT, Network
from sparkweave.errors import UnreachableError, WorkerError
from sparkweave.spark.chained import bound
from sparkweave.spark.failures import WorkerFailure, describe, failed_rank, find_failures, is_clusters_doing
from sparkweave.spark.jobs import described, small_batches
from sparkweave.spark.listener import Listener
from sparkweave.spark.runtime import is_connect, runtime_of
from sparkweave.spark.session import has_ended
from sparkweave.spark.slots import count_slots
from sparkweave.spark.turns import turn
from sparkweave.spark.worker import RESULT_COLUMNS, Gang, assemble, run_worker
from sparkweave.training.state import TrainingState, rank_of
from sparkweave.training.task import SegmentTask

_SILENT_SECONDS = 5.0
_LOOK_SECONDS = 1.0
_REASON_SECONDS = 10.0
_WHY_LOST = "Lost executor: "
_NO_SLOTS = re.compile(r"SPARK-24819|BarrierJobSlotsNumberCheckFailed")
_CANCELLED = re.compile(r"SPARK_JOB_CANCELLED|OPERATION_CANCELED|Job \d+ cancelled")


class SegmentFailed(Exception):
    """A segment's job failed; whether to run it again is the trainer's decision.

    Attributes:
        failure: What the first failing worker reported, or None where none could.
        error: For the user, if it isn't run again.
        is_final: Whether running it again is of no use, or not wanted.
        is_clusters_doing: Whether the cluster took an executor away, so that the run is not to blame.
    """

    def __init__(
        self, failure: WorkerFailure | None, error: WorkerError, *, is_final: bool, is_clusters_doing: bool = False
    ) -> None:
        super().__init__(str(error))
        self.failure = failure
        self.error = error
        self.is_final = is_final
        self.is_clusters_doing = is_clusters_doing


def is_unreachable(failed: SegmentFailed) -> bool:
    """Whether a worker could not reach another one."""
    return failed.failure is not None and failed.failure.kind == UnreachableError.__name__


def run_segment(
    blocks: DataFrame,
    task: SegmentTask,
    state: TrainingState,
    *,
    driver: str,
    channel: ChannelAddress,
    listener: Listener,
    network: Network = DIRECT,
) -> tuple[TrainingState, list[dict[str, Any]]]:
    """Runs the job, and returns the new state and the workers' tallies.

    Raises:
        SegmentFailed: if it failed, for whatever reason.
    """
    spark = blocks.sparkSession
    gang = Gang(world_size=len(task.sizes), driver=driver, channel=channel, network=network)
    shared, local = _broadcast(spark, state)
    work = bound(run_worker, task=task, gang=gang, state=shared, local=local)
    job = blocks.mapInArrow(work, RESULT_COLUMNS, barrier=True)
    listener.reset(workers=len(task.sizes))
    began = time.time()
    # Within a collective, the peers' own timeout tells more; so it comes first.
    watch = _watched(spark, listener, task.config.collective_timeout_seconds + _SILENT_SECONDS)
    try:
        with (
            turn(count_slots(spark), len(task.sizes)),
            watch as silent,
            small_batches(spark),
            described(spark, f"{epochs_name(task)} of {task.config.epochs}"),
        ):
            tallies, blobs = assemble(job.collect())
    except (PySparkException, Py4JError) as error:
        text = str(error)
        if is_connect(spark) and _NO_SLOTS.search(text):
            raise _without_slots(len(task.sizes)) from error
        why = "" if silent or listener.silent(_SILENT_SECONDS) else _why_lost(spark, text, began)
        raise _failed(why + text, listener, task, silent) from error
    finally:
        if not has_ended(spark):
            for broadcast in (shared, *local.values()):
                broadcast.destroy()
    return TrainingState.from_blobs(task.last_epoch, blobs), tallies


def _broadcast(spark: SparkSession, state: TrainingState) -> tuple[Any, dict[int, Any]]:
    """What all workers read, and by rank what one alone reads: it is large, and each would have all of it in its memory."""
    blobs = state.to_blobs()
    shared = {name: blob for name, blob in blobs.items() if rank_of(name) is None}
    local = {rank: {name: blob} for name, blob in blobs.items() if (rank := rank_of(name)) is not None}
    first, *others = runtime_of(spark).share(shared, *local.values())
    return first, dict(zip(local, others, strict=True))


def epochs_name(task: SegmentTask) -> str:
    """As in the web UI: ``epoch 3`` or ``epochs 3–4``."""
    if task.first_epoch == task.last_epoch:
        return f"epoch {task.first_epoch}"
    return f"epochs {task.first_epoch}–{task.last_epoch}"


@contextlib.contextmanager
def _watched(spark: SparkSession, listener: Listener, seconds: float) -> Iterator[list[str]]:
    """Cancels the jobs started inside once a worker is silent for ``seconds``, and tells who it was.

    Spark itself waits for ever for a task whose Python worker is stopped, and so do the peers outside of a collective.
    """
    runtime, tag = runtime_of(spark), f"sparkweave-{secrets.token_hex(8)}"
    silent: list[str] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_SECONDS):
            if found := listener.silent(seconds):
                silent.extend(found)
                runtime.cancel(tag)
                return

    thread = threading.Thread(target=look, name="sparkweave-watch", daemon=True)
    with runtime.tagged(tag):
        thread.start()
        try:
            yield silent
        finally:
            ended.set()
            thread.join()


def _why_lost(spark: SparkSession, text: str, since: float) -> str:
    """Why executors were lost, where Spark's error tells only of their peers: YARN takes seconds to say why."""
    reports = find_failures(text)
    if is_connect(spark) or not reports or not all(report.is_victim for report in reports):
        return ""
    deadline = time.monotonic() + _REASON_SECONDS
    while not has_ended(spark) and time.monotonic() < deadline:
        if reasons := runtime_of(spark).loss_reasons(since):
            return "".join(f"{_WHY_LOST}{reason}\n" for reason in reasons)
        time.sleep(_LOOK_SECONDS)
    return ""


def _failed(text: str, listener: Listener, task: SegmentTask, silent: list[str]) -> SegmentFailed:
    if silent:
        message = (
            f"{'; '.join(silent)}: it is stopped or hangs, or its machine is gone. "
            "Raise --collective-timeout if it may be silent that long"
        )
        return SegmentFailed(None, WorkerError(message), is_final=False)
    if _CANCELLED.search(text):
        message = "training was cancelled: its Spark job was, from the web UI or by the program"
        return SegmentFailed(None, WorkerError(message), is_final=True)
    reports = find_failures(text) + listener.failures
    failure = min(reports, key=lambda report: report.is_victim, default=None)
    taken = is_clusters_doing(text)
    if failure is None or failure.is_victim:
        return _without_report(text, listener, failure, is_clusters_doing=taken)
    step = (failure.epoch - 1) * task.schedule.steps + failure.step if failure.step else None
    return SegmentFailed(failure, WorkerError(str(failure), rank=failure.rank, step=step), is_final=failure.is_final)


def _without_slots(workers: int) -> SegmentFailed:
    """Elsewhere slots are counted before the job; over Spark Connect the server finds out."""
    message = (
        f"the server's cluster does not run {workers} tasks at once, and each worker is one: ask for fewer (numWorkers), or for a "
        "server with more executors"
    )
    return SegmentFailed(None, WorkerError(message), is_final=True)


def _without_report(
    text: str, listener: Listener, victim: WorkerFailure | None, *, is_clusters_doing: bool
) -> SegmentFailed:
    """The worker that failed could not say so; the first to suffer from it may have."""
    stopped = listener.silent(_SILENT_SECONDS) if victim else []
    rank = None if _WHY_LOST in text or stopped else failed_rank(text)
    if victim is not None and victim.rank == rank:  # Spark knows no more either
        return SegmentFailed(victim, WorkerError(str(victim), rank=rank), is_final=False)
    message = "; ".join(stopped) or describe(text)
    if rank is not None:
        message = f"{listener.name(rank)}: {message}"
    if victim is not None:
        message = f"{message}\n  then {victim}"
    return SegmentFailed(victim, WorkerError(message, rank=rank), is_final=False, is_clusters_doing=is_clusters_doing)
