"""Whether the session can run the workers at all, asked before any job: Spark itself would wait in silence."""

from __future__ import annotations

import time
from typing import Any

from pyspark.sql import SparkSession

from sparkweave.deploy.doctor.settings import refused_settings
from sparkweave.errors import ResourceError

_WAIT_SECONDS = 25.0
_POLL_SECONDS = 0.2
_SETTLED_SECONDS = 3.0


def count_slots(spark: SparkSession) -> int:
    """How many tasks the registered executors run at once."""
    context: Any = spark.sparkContext._jsc.sc()
    return int(context.maxNumConcurrentTasks(context.resourceProfileManager().defaultResourceProfile()))


def session_settings(spark: SparkSession) -> dict[str, str]:
    """All settings that are set: the context's, and what was changed in the session since."""
    return {**dict(spark.sparkContext.getConf().getAll()), **spark.conf.getAll}


def refuse_settings(spark: SparkSession) -> None:
    """Raises ResourceError if the session has settings with which no training can end well: executors or workers that come and go."""
    for finding in refused_settings(session_settings(spark)):
        raise ResourceError(f"{finding.what}. {finding.fix[0].upper()}{finding.fix[1:]}")


def require_slots(spark: SparkSession, workers: int | None, *, wait_seconds: float = _WAIT_SECONDS) -> int:
    """The number of workers to run, once there are slots for them.

    Args:
        spark: The session.
        workers: How many are wanted; None takes all slots.
        wait_seconds: How long executors that are still starting are waited for; local sessions have none.

    Raises:
        ResourceError: if there are too few slots.
    """
    deadline = time.monotonic() + (0 if _is_fixed(spark) else wait_seconds)
    wanted = workers or 1
    while (slots := count_slots(spark)) < wanted and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    if workers is None and not _is_fixed(spark):
        slots = _settled_slots(spark, slots, deadline)
    if slots < wanted:
        raise ResourceError(
            f"needs {wanted} workers, this session has {slots} slots: {_remedy(spark, wanted)}, or --workers {max(slots, 1)}"
        )
    return workers or slots


def _settled_slots(spark: SparkSession, slots: int, deadline: float) -> int:
    """The slots once no executor has come for some seconds: all of them, not the first ones."""
    settled = time.monotonic() + _SETTLED_SECONDS
    while time.monotonic() < min(settled, deadline):
        time.sleep(_POLL_SECONDS)
        if (found := count_slots(spark)) != slots:
            slots, settled = found, time.monotonic() + _SETTLED_SECONDS
    return slots


def _is_fixed(spark: SparkSession) -> bool:
    """Whether no executor can come any more: all runs in this JVM."""
    master = spark.sparkContext.master or ""
    return master == "local" or master.startswith("local[")


def _remedy(spark: SparkSession, wanted: int) -> str:
    settings = dict(spark.sparkContext.getConf().getAll())
    per_task = settings.get("spark.task.cpus", "1")
    if _is_fixed(spark):
        return f"use --master 'local[{wanted * int(per_task)}]'"
    return f"raise the number of executors or their cores (a slot takes spark.task.cpus={per_task})"
