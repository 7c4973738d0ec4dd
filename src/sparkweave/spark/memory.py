"""The memory plan against the settings of a running session: asked before a run, refused before anything is killed."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping
from typing import Any

from pyspark.sql import SparkSession

from sparkweave.config import TrainingConfig
from sparkweave.data.summary import DatasetSummary
from sparkweave.deploy.footprint import Footprint, measure_footprint
from sparkweave.deploy.memory_plan import Containers, MemoryPlan, Workload
from sparkweave.deploy.memory_size import parse_size, show_size
from sparkweave.deploy.site import largest_container
from sparkweave.errors import ConfigError, ResourceError
from sparkweave.spark.run import RunOptions
from sparkweave.spark.runtime import runtime_of
from sparkweave.strategies import Strategy

DAEMON_MODULES = ("pyspark.daemon", "pyspark.worker")
"""What Spark's Python daemon imports on a cluster; it forks the workers."""

WORKER_MODULES = (
    "sparkweave.spark.archives",
    "sparkweave.spark.chained",
    "sparkweave.data.blocks",
    "sparkweave.spark.worker",
    "sparkweave.training.loop",
    "sparkweave.distributed.torch_collective",
)
"""What a worker has imported when it trains."""

_LOG = logging.getLogger(__name__)
_GPUS = "spark.task.resource.gpu.amount"
_BYTES_A_VALUE = 1 + 4  # as decoded, and as float32


def check_memory(spark: SparkSession, options: RunOptions, summary: DatasetSummary) -> None:
    """Compares what the run needs with what the session's executors have.

    Where executors run in containers with limits (YARN, Kubernetes), or workers have a limit of their own, a worker's memory is
    measured by a dry run, which takes some seconds. Elsewhere only what can't possibly work is refused. Workers on GPUs are not planned.

    Raises:
        ResourceError: with every contradiction and its remedy, unless the run's options say to ignore them; then they are logged.
    """
    settings = runtime_of(spark).settings()
    if settings.get(_GPUS):
        return
    limited = has_container_limits(settings.get("spark.master", ""))
    if limited or options.config.native_memory is not None:
        found = [str(finding) for finding in _plan(settings, options, summary, limited=limited).findings()]
    else:
        found = _impossible(options, summary)
    if not found:
        return
    if options.config.ignore_memory_plan:
        for finding in found:
            _LOG.warning("the memory plan is ignored: %s", finding)
        return
    raise ResourceError(refusal(found))


def refusal(findings: list[str]) -> str:
    """The message of a refused plan."""
    listed = "".join(f"\n  {finding}" for finding in findings)
    return f"the memory does not suffice:{listed}\n`sparkweave plan` shows the arithmetic; --ignore-memory-plan trains all the same"


def has_container_limits(master: str) -> bool:
    """Whether executors of this master are killed when they pass their heap and overhead."""
    return master.startswith(("yarn", "k8s://"))


def containers_of(settings: Mapping[str, str], *, limited: bool = True) -> Containers:
    """The containers that Spark's settings ask for.

    Raises:
        ConfigError: if a size, a count or a factor among them is none.
    """

    def size(name: str, default: str, unit: str = "m") -> int:
        return parse_size(settings.get(name, default), unit=unit, name=name)

    def given(name: str) -> int | None:
        return size(name, "") if name in settings else None

    off_heap = settings.get("spark.memory.offHeap.enabled", "false").lower() == "true"
    factors = ("spark.executor.memoryOverheadFactor", "spark.kubernetes.memoryOverheadFactor")
    return Containers(
        executor_memory=size("spark.executor.memory", "1g"),
        executor_overhead=given("spark.executor.memoryOverhead"),
        overhead_factor=next((_factor(settings, name) for name in factors if name in settings), 0.1),
        least_overhead=size("spark.executor.minMemoryOverhead", "384m"),
        executor_cores=_count(settings, "spark.executor.cores") or 1,
        task_cpus=_count(settings, "spark.task.cpus") or 1,
        pyspark_memory=given("spark.executor.pyspark.memory") or 0,
        off_heap=size("spark.memory.offHeap.size", "0b", unit="b") if off_heap else 0,
        driver_memory=size("spark.driver.memory", "1g"),
        driver_overhead=given("spark.driver.memoryOverhead"),
        driver_in_container=settings.get("spark.submit.deployMode") == "cluster",
        max_result_size=size("spark.driver.maxResultSize", "1g", unit="b"),
        largest_container=largest_container() if settings.get("spark.master", "yarn") == "yarn" else None,
        limited=limited,
    )


def executors_of(settings: Mapping[str, str]) -> int | None:
    """How many executors Spark's settings ask for, if they say.

    Raises:
        ConfigError: if that is no count.
    """
    return _count(settings, "spark.executor.instances")


def _count(settings: Mapping[str, str], name: str) -> int | None:
    text = settings.get(name, "1").strip()
    if not (text.isdecimal() and int(text)):
        raise ConfigError(f"{name} is {text!r}; give a whole number, 1 or more")
    return int(text) if name in settings else None


def _factor(settings: Mapping[str, str], name: str) -> float:
    try:
        factor = float(settings[name])
    except ValueError:
        factor = math.nan
    if not (math.isfinite(factor) and factor > 0):
        raise ConfigError(f"{name} is {settings[name]!r}; give a number above 0, such as 0.1")
    return factor


def footprint_of(
    network: Mapping[str, Any],
    strategy: Strategy,
    config: TrainingConfig,
    shape: tuple[int, ...],
    classes: int,
    *,
    threads: int,
) -> Footprint:
    """What a worker of Spark's takes; see `sparkweave.deploy.footprint.measure_footprint`."""
    return measure_footprint(
        network=network,
        strategy=strategy,
        config=config,
        input_shape=shape,
        classes=classes,
        threads=threads,
        daemon_modules=DAEMON_MODULES,
        worker_modules=WORKER_MODULES,
    )


def _plan(settings: Mapping[str, str], options: RunOptions, summary: DatasetSummary, *, limited: bool) -> MemoryPlan:
    config, containers = options.config, containers_of(settings, limited=limited)
    footprint = footprint_of(
        options.network, options.strategy, config, summary.shape, len(summary.labels), threads=containers.task_cpus
    )
    workload = Workload(
        footprint=footprint,
        batch_size=config.batch_size,
        prefetch=config.prefetch,
        images=summary.examples,
        shape=summary.shape,
        workers=len(summary.sizes),
        largest_shard=max(summary.sizes),
        native_memory=config.native_memory,
    )
    return MemoryPlan(workload, containers)


def _impossible(options: RunOptions, summary: DatasetSummary) -> list[str]:
    """What one machine can't do whatever else is true: hold one batch a worker."""
    batch = min(options.config.batch_size, max(summary.sizes))
    least = len(summary.sizes) * batch * math.prod(summary.shape) * _BYTES_A_VALUE
    there = _machine_memory()
    if least <= there:
        return []
    finding = (
        f"one batch of {batch:,} images for each of {len(summary.sizes)} workers takes {show_size(least)}, "
        f"and this machine has {show_size(there)}: lower --batch-size"
    )
    return [finding]


def _machine_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
