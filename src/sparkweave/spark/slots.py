"""Whether the session can run the workers at all, asked before any job: Spark itself would wait in silence."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from pyspark.sql import SparkSession

from sparkweave.deploy.doctor.finding import Finding
from sparkweave.deploy.doctor.settings import refused_settings, unprotected_tensors
from sparkweave.distributed.network import Network
from sparkweave.errors import ResourceError
from sparkweave.spark.executors import Asked, asked_executors, registered_cores
from sparkweave.spark.runtime import is_connect, runtime_of
from sparkweave.spark.session import has_ended

_LOG = logging.getLogger(__name__)

_WAIT_SECONDS = 25.0
_ASKED_SECONDS = 180.0
_TOLD_SECONDS = 20.0
_POLL_SECONDS = 0.2
_SETTLED_SECONDS = 3.0
_NO_ROOM = (
    "the cluster has no room for the others, or their machines can't start them: wait until it has, or ask for smaller executors "
    "(`sparkweave plan` reckons what they need)"
)


def count_slots(spark: SparkSession) -> int:
    """How many tasks the registered executors run at once; 0 where that can't be known."""
    return runtime_of(spark).slots() or 0


def session_settings(spark: SparkSession) -> dict[str, str]:
    """All settings that are set: the context's, and what was changed in the session since."""
    return {**runtime_of(spark).settings(), **spark.conf.getAll}


def refuse_settings(spark: SparkSession) -> None:
    """Raises ResourceError if the session has settings with which no training can end well: executors or workers that come and go."""
    _refuse(refused_settings(session_settings(spark)))


def refuse_plaintext(spark: SparkSession, workers: int, network: Network) -> None:
    """Raises ResourceError if the session protects its connections, and the workers' own would not be protected."""
    on_one_machine = workers == 1 or _master(spark).startswith("local")
    if not (on_one_machine or network.allow_plaintext or network.transport == "spark"):
        _refuse(unprotected_tensors(session_settings(spark)))


def _refuse(findings: Iterable[Finding]) -> None:
    for finding in findings:
        raise ResourceError(f"{finding.what}. {finding.fix[0].upper()}{finding.fix[1:]}")


def require_slots(
    spark: SparkSession, workers: int | None, *, least: int | None = None, wait_seconds: float = _WAIT_SECONDS
) -> int:
    """The number of workers to run, once there are slots for them.

    Executors that were asked for (``--num-executors``, ``spark.cores.max``) and have not come yet are waited for, three minutes at
    least: YARN starts them one after the other, and each machine first unpacks the environment.

    Args:
        spark: The session.
        workers: How many are wanted; None takes all slots, once all executors that were asked for are there.
        least: Be content with as few, if no more come in time.
        wait_seconds: How long slots are waited for when nothing more is known to come; not at all in a local session.

    Raises:
        ResourceError: if there are too few slots.
    """
    if is_connect(spark) and not count_slots(spark):
        return _named_workers(workers)
    if _is_fixed(spark):
        slots, lacking = count_slots(spark), None
    else:
        slots, lacking = _await_slots(spark, workers, wait_seconds)
    wanted = workers or least or 1
    if slots < (least or wanted):
        why = f" ({lacking})" if lacking else ""
        remedy = _NO_ROOM if lacking else _remedy(spark, wanted)
        raise ResourceError(
            f"needs {wanted} workers, this session has {slots} slots{why}: {remedy}, or --workers {max(slots, 1)}"
        )
    if workers is None and least is None and lacking is not None:
        raise ResourceError(
            f"{lacking}, within {max(wait_seconds, _ASKED_SECONDS):.0f} s: wait until the cluster has room for the others, "
            f"ask for fewer, or train with what has come: --workers {slots}"
        )
    return min(workers or slots, slots)


def _named_workers(workers: int | None) -> int:
    if workers is None:
        raise ResourceError(
            "Spark Connect does not tell how many tasks this server's cluster runs at once: say how many workers are to train "
            "(numWorkers, or workers in TrainingConfig), at most as many as there are slots"
        )
    return workers


def _await_slots(spark: SparkSession, workers: int | None, wait_seconds: float) -> tuple[int, str | None]:
    """The slots once they suffice or no more are to be expected; and what is lacking of the executors that were asked for."""
    asked = asked_executors(runtime_of(spark).settings())
    began = changed = time.monotonic()
    slots, told = 0, False
    while True:
        if has_ended(spark):
            raise ResourceError("the Spark session has ended: it was stopped, or its application was killed")
        cores = registered_cores(spark)  # before the slots, so that all are counted once all are there
        now = time.monotonic()
        if (found := count_slots(spark)) != slots:
            slots, changed = found, now
        all_came = cores >= asked.cores if asked else slots > 0 and now - changed > _SETTLED_SECONDS
        enough = slots >= workers if workers else all_came and slots > 0
        patience = wait_seconds if asked is None or all_came else max(wait_seconds, _ASKED_SECONDS)
        if enough or now - began > patience:
            break
        if asked and not told and now - began > _TOLD_SECONDS:
            told = True
            _LOG.warning("waiting up to %.0f s for executors: %s", patience, _lacking(asked, cores))
        time.sleep(_POLL_SECONDS)
    if asked is None or all_came:
        return slots, None
    return slots, _lacking(asked, cores)


def _lacking(asked: Asked, cores: int) -> str:
    return f"{asked.setting} asks for {asked.cores} cores, and {cores} came"


def _is_fixed(spark: SparkSession) -> bool:
    """Whether no executor can come any more: all runs in this JVM."""
    master = _master(spark)
    return master == "local" or master.startswith("local[")


def _remedy(spark: SparkSession, wanted: int) -> str:
    per_task = runtime_of(spark).settings().get("spark.task.cpus", "1")
    if _is_fixed(spark):
        return f"use --master 'local[{wanted * int(per_task)}]'"
    return f"raise the number of executors or their cores (a slot takes spark.task.cpus={per_task})"


def _master(spark: SparkSession) -> str:
    return runtime_of(spark).settings().get("spark.master", "")
