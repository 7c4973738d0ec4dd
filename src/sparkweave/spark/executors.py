"""The executors that a session has asked its cluster for, and those that have come."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from pyspark.sql import SparkSession

_LOCAL_CLUSTER = re.compile(r"local-cluster\[\s*(\d+)\s*,\s*(\d+)\s*,\s*\d+\s*\]")
_DEFAULT_INSTANCES = "2"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What a session asks its cluster manager for.

    Attributes:
        cores: Of all executors together.
        setting: Where that is said, for a message.
    """

    cores: int
    setting: str


def asked_executors(settings: Mapping[str, str]) -> Asked | None:
    """What the settings of a session ask for; None where that is not said, so that any number may come.

    Example:
        >>> asked_executors({"spark.master": "yarn", "spark.executor.instances": "3", "spark.executor.cores": "2"}).cores
        6
    """
    master = settings.get("spark.master", "")
    cores = int(settings.get("spark.executor.cores", "1"))
    if found := _LOCAL_CLUSTER.fullmatch(master):
        return Asked(cores=int(found[1]) * int(found[2]), setting=f"--master {master}")
    if master.startswith(("yarn", "k8s://")):
        instances = settings.get("spark.executor.instances", _DEFAULT_INSTANCES)
        return Asked(cores=int(instances) * cores, setting=f"spark.executor.instances={instances}")
    if master.startswith("spark://") and (most := settings.get("spark.cores.max")) is not None:
        return Asked(cores=int(most) // cores * cores, setting=f"spark.cores.max={most}")
    return None


def loss_reasons(spark: SparkSession, since: float) -> list[str]:
    """Why executors were lost, in Spark's words.

    Args:
        spark: The session.
        since: A time of `time.time`; earlier losses are left out.
    """
    context: Any = spark.sparkContext._jsc.sc()
    executors = context.statusStore().executorList(False)  # noqa: FBT003 - Java's
    found = (executors.apply(index) for index in range(executors.size()))
    lost = [executor for executor in found if not executor.isActive() and executor.removeReason().isDefined()]
    return [executor.removeReason().get() for executor in lost if executor.removeTime().get().getTime() >= since * 1000]


def registered_cores(spark: SparkSession) -> int:
    """The cores of the executors that have come and not been lost."""
    context: Any = spark.sparkContext._jsc.sc()
    return int(context.schedulerBackend().totalCoreCount())
