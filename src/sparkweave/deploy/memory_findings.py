"""What contradicts itself in a memory plan, and in the slots that it reckons with, each with the remedy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

from sparkweave.deploy.memory_size import show_size, spark_size

if TYPE_CHECKING:
    from sparkweave.deploy.memory_plan import MemoryPlan


@dataclasses.dataclass(frozen=True)
class Finding:
    """A contradiction: what is wrong, and what to change."""

    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.problem}: {self.remedy}"


Rule: TypeAlias = "Callable[[MemoryPlan], Finding | None]"


def find_contradictions(plan: MemoryPlan) -> list[Finding]:
    """All contradictions of ``plan``."""
    rules = (*_SLOT_RULES, *_MEMORY_RULES) if plan.containers.limited else (_limit_below_need,)
    return _found(plan, rules)


def find_misfits(plan: MemoryPlan) -> list[Finding]:
    """Those that keep the workers of ``plan`` from starting, whatever memory they have."""
    return _found(plan, _SLOT_RULES)


def _found(plan: MemoryPlan, rules: Iterable[Rule]) -> list[Finding]:
    found = [rule(plan) for rule in rules]
    return [finding for finding in found if finding is not None]


def _task_above_executor(plan: MemoryPlan) -> Finding | None:
    given = plan.containers
    if given.task_cpus <= given.executor_cores:
        return None
    return Finding(
        f"a worker takes {given.task_cpus} cores (spark.task.cpus), and an executor has {given.executor_cores}, so that none "
        "would start",
        f"set --executor-cores {given.task_cpus}, or lower spark.task.cpus to {given.executor_cores}",
    )


def _more_workers_than_slots(plan: MemoryPlan) -> Finding | None:
    executors, slots, workers = plan.containers.executors, plan.containers.slots, plan.workload.workers
    if executors is None or workers <= executors * slots:
        return None
    return Finding(
        f"{workers} workers start together or not at all, and {executors} executors with {slots} "
        f"slot{'' if slots == 1 else 's'} each run {executors * slots} at once",
        f"lower --workers to {executors * slots}, or set --num-executors {plan.executors_needed}",
    )


def _limit_below_need(plan: MemoryPlan) -> Finding | None:
    limit, needed = plan.workload.native_memory, plan.limit_needed
    if limit is None or limit >= needed:
        return None
    return Finding(
        f"--native-memory is {show_size(limit)}, and a worker needs {show_size(needed)} "
        f"with batches of {plan.workload.batch} images",
        f"{_smaller_batch(plan, limit - plan.workload.footprint.reserved)}raise --native-memory to "
        f"{spark_size(plan.recommended().workload.native_memory or needed)}"
        + (f", and {_overhead(plan)}" if _needs_overhead(plan) else ""),
    )


def _limit_above_overhead(plan: MemoryPlan) -> Finding | None:
    limit, count = plan.workload.native_memory, plan.workers_an_executor
    if limit is None or limit <= plan.share:
        return None
    return Finding(
        f"--native-memory lets {_workers(count)} take {show_size(count * limit)}, and of the overhead of "
        f"{show_size(plan.containers.overhead)} {show_size(count * plan.share)} is left to {'it' if count == 1 else 'them'}: "
        "YARN would kill the container before a worker meets its limit",
        f"{_overhead(plan)}, or lower --native-memory",
    )


def _overhead_too_small(plan: MemoryPlan) -> Finding | None:
    if plan.worker <= plan.share or plan.workers_an_executor > 1:
        return None
    given = plan.containers
    origin = "" if given.executor_overhead is not None else " (Spark's default, as none is set)"
    return Finding(
        f"a worker needs {show_size(plan.worker)} of native memory, and the overhead of {show_size(given.overhead)}{origin} "
        f"leaves it {show_size(plan.share)}; the heap of {show_size(given.executor_memory)} is of no use to it",
        f"{_smaller_batch(plan, plan.share)}{_overhead(plan)}",
    )


def _workers_share_overhead(plan: MemoryPlan) -> Finding | None:
    count, given = plan.workers_an_executor, plan.containers
    if plan.worker <= plan.share or count == 1:
        return None
    return Finding(
        f"{count} workers an executor share one overhead of {show_size(given.overhead)}, which leaves each "
        f"{show_size(plan.share)}, and each needs {show_size(plan.worker)}",
        f"{_overhead(plan)}, or give each worker an executor of its own: --conf spark.task.cpus={given.executor_cores}, "
        f"or --executor-cores {given.task_cpus} with more executors",
    )


def _container_too_large(plan: MemoryPlan) -> Finding | None:
    limit, wanted = plan.containers.largest_container, plan.recommended().containers.container
    if limit is None or wanted <= limit:
        return None
    trains = not plan.workload.scores
    remedies = [*(["a smaller --batch-size"] if trains else []), "a smaller --executor-memory"]
    if plan.workers_an_executor > 1:
        remedies.append("fewer workers an executor")
    return Finding(
        f"an executor needs a container of {show_size(wanted)}, and YARN grants at most {show_size(limit)}",
        f"choose {', '.join(remedies)}{', or more workers for smaller shards' if trains else ''}; "
        "or have yarn.scheduler.maximum-allocation-mb raised",
    )


def _python_memory_set(plan: MemoryPlan) -> Finding | None:
    if not plan.containers.pyspark_memory:
        return None
    return Finding(
        f"spark.executor.pyspark.memory is {show_size(plan.containers.pyspark_memory)}: Spark makes it a limit on addresses, "
        "where torch's libraries and mapped shards count with gigabytes that they never use",
        "leave it unset" + ("" if plan.workload.scores else "; --native-memory limits what a worker uses"),
    )


def _result_too_large(plan: MemoryPlan) -> Finding | None:
    limit = plan.containers.max_result_size
    if not limit or plan.state <= limit:
        return None
    return Finding(
        f"the state that a segment returns is {show_size(plan.state)}, and spark.driver.maxResultSize is {show_size(limit)}",
        f"--conf spark.driver.maxResultSize={spark_size(plan.recommended().containers.max_result_size)}",
    )


def _driver_too_small(plan: MemoryPlan) -> Finding | None:
    if plan.driver_heap <= plan.containers.driver_memory:
        return None
    return Finding(
        f"the driver's heap is {show_size(plan.containers.driver_memory)}, and to take back and send out a state of "
        f"{show_size(plan.state)} it needs {show_size(plan.driver_heap)}",
        f"--driver-memory {spark_size(plan.recommended().containers.driver_memory)}",
    )


def _driver_overhead_too_small(plan: MemoryPlan) -> Finding | None:
    given = plan.containers
    if not given.driver_in_container or plan.driver_native <= given.overhead_of_driver:
        return None
    return Finding(
        f"the driver's overhead is {show_size(given.overhead_of_driver)}, and outside of its heap it needs "
        f"{show_size(plan.driver_native)}: in cluster mode Python and torch run in its container",
        f"--conf spark.driver.memoryOverhead={spark_size(plan.recommended().containers.overhead_of_driver)}",
    )


_SLOT_RULES: tuple[Rule, ...] = (_task_above_executor, _more_workers_than_slots)
_MEMORY_RULES: tuple[Rule, ...] = (
    _limit_below_need,
    _limit_above_overhead,
    _overhead_too_small,
    _workers_share_overhead,
    _container_too_large,
    _python_memory_set,
    _result_too_large,
    _driver_too_small,
    _driver_overhead_too_small,
)


def _needs_overhead(plan: MemoryPlan) -> bool:
    return plan.containers.limited and plan.recommended().containers.overhead > plan.containers.overhead


def _overhead(plan: MemoryPlan) -> str:
    size = spark_size(plan.recommended().containers.overhead)
    return f"set --executor-memory-overhead {size} (--conf spark.executor.memoryOverhead={size})"


def _smaller_batch(plan: MemoryPlan, native: int) -> str:
    batch = plan.largest_batch(native)
    return f"lower --batch-size to {batch}, or " if 0 < batch < plan.workload.batch else ""


def _workers(count: int) -> str:
    return "a worker" if count == 1 else f"{count} workers an executor"
