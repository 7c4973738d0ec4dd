"""The arithmetic of the memory plan, and what it refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkweave.deploy.footprint import Footprint
from sparkweave.deploy.memory_plan import Containers, MemoryPlan, Workload
from sparkweave.deploy.memory_size import GIB, MIB

FOOTPRINT = Footprint(
    daemon=45 * MIB,
    base=700 * MIB,
    parameters=2 * MIB,
    gradients=2 * MIB,
    optimizer=4 * MIB,
    strategy=0,
    shared_state=6 * MIB,
    peaks=((4, 130 * MIB), (100, 150 * MIB), (400, 300 * MIB)),
    reserved=90 * MIB,
)
WORKLOAD = Workload(footprint=FOOTPRINT, batch_size=100, prefetch=2, images=60_000, shape=(1, 28, 28), workers=2)

sizes = st.integers(0, 8 * GIB)


@st.composite
def footprints(draw: st.DrawFn) -> Footprint:
    batches = sorted(draw(st.sets(st.integers(1, 10_000), min_size=1, max_size=3)))
    return Footprint(
        peaks=tuple((batch, draw(sizes)) for batch in batches),
        **{
            name: draw(sizes)
            for name in (
                "daemon",
                "base",
                "parameters",
                "gradients",
                "optimizer",
                "strategy",
                "shared_state",
                "local_state",
                "reserved",
            )
        },
    )


workloads = st.builds(
    Workload,
    footprint=footprints(),
    batch_size=st.integers(1, 10_000),
    prefetch=st.integers(0, 10),
    images=st.integers(1, 10**7),
    shape=st.tuples(st.sampled_from([1, 3]), st.integers(1, 500), st.integers(1, 500)),
    workers=st.integers(1, 100),
    largest_shard=st.none() | st.integers(1, 10**6),
    native_memory=st.none() | st.integers(1, 100 * GIB),
)
containers = st.builds(
    Containers,
    executor_memory=st.integers(512 * MIB, 64 * GIB),
    executor_overhead=st.none() | sizes,
    overhead_factor=st.floats(0, 1),
    least_overhead=sizes,
    executor_cores=st.integers(1, 16),
    task_cpus=st.integers(1, 16),
    executors=st.none() | st.integers(1, 100),
    pyspark_memory=sizes,
    off_heap=sizes,
    driver_memory=sizes,
    driver_overhead=st.none() | sizes,
    driver_in_container=st.booleans(),
    max_result_size=sizes,
)


def problems(plan: MemoryPlan) -> str:
    return "\n".join(str(finding) for finding in plan.findings())


def plan(workload: Workload = WORKLOAD, **settings: Any) -> MemoryPlan:
    return MemoryPlan(workload, Containers(**settings))


@settings(max_examples=40, deadline=None)
@given(workload=workloads, containers=containers)
def test_what_is_recommended_has_no_contradiction(workload: Workload, containers: Containers) -> None:
    advised = MemoryPlan(workload, containers).recommended()
    assert problems(advised) == ""
    limited = dataclasses.replace(advised.workload, native_memory=advised.native_limit)
    assert problems(MemoryPlan(limited, advised.containers)) == ""


@settings(max_examples=40, deadline=None)
@given(workload=workloads, containers=containers)
def test_a_recommendation_takes_nothing_away_and_is_stable(workload: Workload, containers: Containers) -> None:
    advised = MemoryPlan(workload, containers).recommended()
    assert advised.containers.overhead >= containers.overhead
    assert advised.containers.driver_memory >= containers.driver_memory
    assert advised.recommended() == advised


@settings(max_examples=40, deadline=None)
@given(workload=workloads, more=st.integers(1, 1000))
def test_a_larger_batch_never_needs_less(workload: Workload, more: int) -> None:
    larger = dataclasses.replace(workload, batch_size=workload.batch_size + more)
    assert plan(larger).worker >= plan(workload).worker


@settings(max_examples=40, deadline=None)
@given(workload=workloads, containers=containers)
def test_every_row_is_an_amount_and_the_workers_rows_are_its_need(workload: Workload, containers: Containers) -> None:
    asked = MemoryPlan(workload, containers)
    assert all(row.size >= 0 for row in asked.rows())
    assert sum(row.size for row in asked.rows() if row.part == "worker") == asked.worker


@settings(max_examples=40, deadline=None)
@given(workload=workloads)
def test_the_peak_measured_is_in_the_rows_whole(workload: Workload) -> None:
    found = workload.footprint
    rows = {row.what: row.size for row in plan(workload).worker_rows()}
    parts = sum(
        rows[name] for name in ("torch's kernels, copies of the state", "minibatches prepared ahead", "activations")
    )
    assert parts + found.tensors >= found.peak(workload.batch)


@settings(max_examples=40, deadline=None)
@given(workload=workloads, native=st.integers(0, 40 * GIB))
def test_the_largest_batch_is_the_largest_that_fits(workload: Workload, native: int) -> None:
    workload = dataclasses.replace(workload, largest_shard=None)
    batch = plan(workload).largest_batch(native)
    if batch:
        assert plan(dataclasses.replace(workload, batch_size=batch)).worker <= native
    if batch < workload.batch_size:
        assert plan(dataclasses.replace(workload, batch_size=batch + 1)).worker > native


def test_the_classic_case_a_smaller_heap_and_no_overhead_is_refused_with_the_setting_that_mends_it() -> None:
    asked = plan(executor_memory=512 * MIB)
    (finding,) = asked.findings()
    assert "the overhead of 384 MiB (Spark's default, as none is set)" in finding.problem
    assert "the heap of 512 MiB is of no use to it" in finding.problem
    needed = asked.recommended().settings()["spark.executor.memoryOverhead"]
    assert f"--conf spark.executor.memoryOverhead={needed}" in finding.remedy
    assert not plan(executor_memory=512 * MIB, executor_overhead=int(needed[:-1]) * MIB).findings()


def test_a_batch_that_is_too_large_is_told_the_one_that_fits() -> None:
    asked = plan(dataclasses.replace(WORKLOAD, batch_size=20_000), executor_overhead=2 * GIB)
    batch = asked.largest_batch(asked.share)
    assert 100 < batch < 20_000
    assert f"lower --batch-size to {batch}, or set --executor-memory-overhead" in problems(asked)


def test_a_native_limit_above_the_overhead_is_refused() -> None:
    asked = plan(dataclasses.replace(WORKLOAD, native_memory=4 * GIB), executor_overhead=2 * GIB)
    assert "--native-memory lets a worker take 4.00 GiB" in problems(asked)
    assert "YARN would kill the container before a worker meets its limit" in problems(asked)


def test_a_native_limit_below_the_need_is_refused() -> None:
    asked = plan(dataclasses.replace(WORKLOAD, native_memory=800 * MIB), executor_overhead=4 * GIB)
    assert "--native-memory is 800 MiB, and a worker needs 1.10 GiB with batches of 100 images" in problems(asked)
    assert problems(asked).endswith("raise --native-memory to 1152m")


def test_a_container_above_yarns_maximum_is_refused() -> None:
    asked = plan(executor_overhead=2 * GIB, largest_container=2 * GIB)
    assert "an executor needs a container of 3.00 GiB, and YARN grants at most 2.00 GiB" in problems(asked)
    assert "yarn.scheduler.maximum-allocation-mb" in problems(asked)
    assert not plan(executor_overhead=2 * GIB, largest_container=3 * GIB).findings()


def test_workers_that_share_one_overhead_are_refused() -> None:
    four_slots: dict[str, Any] = {"executor_cores": 4, "executor_overhead": 2 * GIB}
    asked = plan(dataclasses.replace(WORKLOAD, workers=8), **four_slots)
    assert "4 workers an executor share one overhead of 2.00 GiB" in problems(asked)
    assert "--conf spark.task.cpus=4" in problems(asked)
    assert not plan(dataclasses.replace(WORKLOAD, workers=1), **four_slots).findings()
    assert not plan(dataclasses.replace(WORKLOAD, workers=8), **four_slots, task_cpus=4).findings()


def test_a_limit_on_addresses_is_refused() -> None:
    assert "spark.executor.pyspark.memory is 2.00 GiB" in problems(
        plan(executor_overhead=2 * GIB, pyspark_memory=2 * GIB)
    )


def test_more_workers_than_slots_are_refused_with_both_ways_out() -> None:
    asked = plan(dataclasses.replace(WORKLOAD, workers=8), executors=2, executor_cores=2, executor_overhead=16 * GIB)
    assert problems(asked) == (
        "8 workers start together or not at all, and 2 executors with 2 slots each run 4 at once: "
        "lower --workers to 4, or set --num-executors 4"
    )
    assert asked.misfits() == asked.findings()
    assert not plan(dataclasses.replace(WORKLOAD, workers=4), executors=2, executor_cores=2).misfits()
    assert not plan(dataclasses.replace(WORKLOAD, workers=8), executor_cores=2).misfits()


def test_a_task_that_no_executor_has_the_cores_for_is_refused() -> None:
    asked = plan(executor_cores=2, task_cpus=4, executor_overhead=16 * GIB)
    assert problems(asked) == (
        "a worker takes 4 cores (spark.task.cpus), and an executor has 2, so that none would start: "
        "set --executor-cores 4, or lower spark.task.cpus to 2"
    )
    assert asked.recommended().settings()["spark.executor.cores"] == "4"


def test_a_driver_too_small_for_the_state_is_refused() -> None:
    large = dataclasses.replace(FOOTPRINT, parameters=GIB, optimizer=2 * GIB, shared_state=3 * GIB)
    asked = plan(dataclasses.replace(WORKLOAD, footprint=large), executor_overhead=16 * GIB)
    assert "the state that a segment returns is 3.00 GiB, and spark.driver.maxResultSize is 1.00 GiB" in problems(asked)
    assert "--conf spark.driver.maxResultSize=6144m" in problems(asked)
    assert "the driver's heap is 1.00 GiB" in problems(asked)
    assert "--driver-memory 12544m" in problems(asked)


def test_what_each_worker_keeps_to_itself_comes_to_the_driver_from_all_of_them() -> None:
    apart = dataclasses.replace(FOOTPRINT, parameters=GIB // 2, shared_state=GIB // 2, local_state=GIB)
    asked = plan(dataclasses.replace(WORKLOAD, footprint=apart, workers=3), executor_overhead=16 * GIB)
    assert "the state that a segment returns is 3.50 GiB" in problems(asked)
    (row,) = [row for row in asked.rows() if row.what == "state of a segment"]
    assert row.how == "safetensors: 512 MiB of all + 3 x 1.00 GiB of each worker's own"
    (received,) = [row for row in asked.worker_rows() if row.what.startswith("state as received")]
    assert received.size == 2 * GIB


@pytest.mark.parametrize("in_container", [True, False])
def test_pythons_share_of_a_drivers_container_counts_in_cluster_mode(in_container: bool) -> None:
    asked = plan(executor_overhead=2 * GIB, driver_in_container=in_container)
    assert ("the driver's overhead is 384 MiB" in problems(asked)) is in_container
    assert ("spark.driver.memoryOverhead" in asked.settings()) is in_container


def test_without_containers_only_a_workers_own_limit_can_be_met() -> None:
    assert not plan(limited=False).findings()
    (finding,) = plan(dataclasses.replace(WORKLOAD, native_memory=800 * MIB), limited=False).findings()
    assert "memoryOverhead" not in str(finding)


@pytest.mark.parametrize(
    ("heap", "overhead", "expected"),
    [(GIB, None, 384 * MIB), (10 * GIB, None, GIB), (GIB, 0, 0), (GIB, 2 * GIB, 2 * GIB)],
)
def test_the_overhead_is_sparks(heap: int, overhead: int | None, expected: int) -> None:
    given = Containers(executor_memory=heap, executor_overhead=overhead)
    assert given.overhead == expected
    assert given.container == heap + expected


def test_batches_are_even_where_the_shards_are_known() -> None:
    assert dataclasses.replace(WORKLOAD, batch_size=100, largest_shard=101).batch == 51
    assert dataclasses.replace(WORKLOAD, batch_size=100, largest_shard=30).batch == 30
    assert dataclasses.replace(WORKLOAD, batch_size=20_000).batch == 20_000


@pytest.mark.parametrize(
    ("batch", "peak"), [(1, 130), (4, 130), (52, 140), (100, 150), (250, 225), (400, 300), (700, 450), (4000, 2100)]
)
def test_a_peak_lies_on_the_lines_between_those_measured_and_beyond(batch: int, peak: int) -> None:
    assert FOOTPRINT.peak(batch) == peak * MIB
