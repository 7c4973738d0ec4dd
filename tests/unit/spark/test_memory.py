"""The memory plan against a session's settings, without Spark."""

from __future__ import annotations

import logging
import types
from typing import Any

import pytest

from sparkweave.config import TrainingConfig
from sparkweave.data.summary import DatasetSummary
from sparkweave.deploy.footprint import Footprint
from sparkweave.deploy.memory_plan import Containers
from sparkweave.deploy.memory_size import GIB, MIB
from sparkweave.errors import ConfigError, ResourceError
from sparkweave.spark import memory
from sparkweave.spark.memory import check_memory, containers_of, executors_of
from sparkweave.spark.run import RunOptions
from sparkweave.strategies import AllReduce

FOOTPRINT = Footprint(
    daemon=45 * MIB,
    base=700 * MIB,
    parameters=MIB,
    gradients=MIB,
    optimizer=MIB,
    strategy=0,
    shared_state=2 * MIB,
    peaks=((4, 130 * MIB), (100, 150 * MIB)),
    reserved=90 * MIB,
)
SUMMARY = DatasetSummary(
    sizes=(5_010, 4_990),
    shape=(1, 28, 28),
    labels=("0", "1"),
    counts={"0": 5_000, "1": 5_000},
    mean=(0.5,),
    deviation=(0.2,),
)


def session(master: str, **settings: str) -> Any:
    conf = types.SimpleNamespace(getAll=lambda: [(name.replace("_", "."), value) for name, value in settings.items()])
    return types.SimpleNamespace(sparkContext=types.SimpleNamespace(master=master, getConf=lambda: conf))


def options(**config: Any) -> RunOptions:
    return RunOptions(network={"name": "any", "layers": []}, strategy=AllReduce(), config=TrainingConfig(**config))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The dry runs that were asked for."""
    asked: list[dict[str, Any]] = []

    def measure(**request: Any) -> Footprint:
        asked.append(request)
        return FOOTPRINT

    monkeypatch.setattr(memory, "measure_footprint", measure)
    return asked


@pytest.mark.parametrize("master", ["yarn", "k8s://https://host:443"])
def test_containers_that_are_too_small_are_refused(master: str, measured: list[dict[str, Any]]) -> None:
    with pytest.raises(ResourceError) as refused:
        check_memory(session(master, spark_executor_memory="512m"), options(), SUMMARY)
    message = str(refused.value)
    assert message.startswith("the memory does not suffice:\n  a worker needs ")
    assert "the overhead of 384 MiB (Spark's default, as none is set)" in message
    assert "--conf spark.executor.memoryOverhead=" in message
    assert message.endswith("--ignore-memory-plan trains all the same")
    assert (measured[0]["threads"], measured[0]["classes"], measured[0]["input_shape"]) == (1, 2, (1, 28, 28))


def test_containers_that_suffice_are_let_through(measured: list[dict[str, Any]]) -> None:
    check_memory(session("yarn", spark_executor_memoryOverhead="2g"), options(), SUMMARY)
    assert len(measured) == 1


def test_a_plan_that_is_ignored_is_logged(measured: list[dict[str, Any]], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check_memory(session("yarn"), options(ignore_memory_plan=True), SUMMARY)
    (record,) = caplog.records
    assert record.getMessage().startswith("the memory plan is ignored: a worker needs ")


@pytest.mark.parametrize("master", ["local", "local[2]", "local-cluster[2,1,1024]", "spark://host:7077"])
def test_nothing_is_measured_where_nothing_is_limited(
    master: str, measured: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    check_memory(session(master), options(batch_size=100_000), SUMMARY)
    assert not measured
    assert not caplog.records


def test_a_workers_own_limit_is_checked_everywhere(measured: list[dict[str, Any]]) -> None:
    with pytest.raises(ResourceError, match=r"--native-memory is 800 MiB, and a worker needs") as refused:
        check_memory(session("local[2]"), options(native_memory=800 * MIB), SUMMARY)
    assert "memoryOverhead" not in str(refused.value)
    check_memory(session("local[2]"), options(native_memory=2 * GIB), SUMMARY)


def test_a_batch_that_no_machine_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_machine_memory", lambda: 30 * MIB)
    check_memory(session("local[2]"), options(batch_size=3_000), SUMMARY)
    with pytest.raises(
        ResourceError, match=r"one batch of 5,010 images for each of 2 workers takes 37 MiB.*has 30 MiB"
    ):
        check_memory(session("local[2]"), options(batch_size=100_000), SUMMARY)


def test_workers_on_gpus_are_not_planned(measured: list[dict[str, Any]]) -> None:
    check_memory(session("yarn", spark_task_resource_gpu_amount="1"), options(), SUMMARY)
    assert not measured


def test_sparks_defaults() -> None:
    assert containers_of({}) == Containers()


def test_sparks_settings_are_read_in_their_units() -> None:
    found = containers_of(
        {
            "spark.executor.memory": "2g",
            "spark.executor.memoryOverhead": "1024",
            "spark.executor.minMemoryOverhead": "512m",
            "spark.executor.memoryOverheadFactor": "0.4",
            "spark.executor.cores": "4",
            "spark.task.cpus": "2",
            "spark.executor.pyspark.memory": "3g",
            "spark.memory.offHeap.enabled": "true",
            "spark.memory.offHeap.size": str(GIB),
            "spark.driver.memory": "4g",
            "spark.driver.memoryOverhead": "700m",
            "spark.driver.maxResultSize": "0",
            "spark.submit.deployMode": "cluster",
        }
    )
    assert found == Containers(
        executor_memory=2 * GIB,
        executor_overhead=GIB,
        least_overhead=512 * MIB,
        overhead_factor=0.4,
        executor_cores=4,
        task_cpus=2,
        pyspark_memory=3 * GIB,
        off_heap=GIB,
        driver_memory=4 * GIB,
        driver_overhead=700 * MIB,
        max_result_size=0,
        driver_in_container=True,
    )


def test_off_heap_memory_counts_only_where_it_is_enabled() -> None:
    assert containers_of({"spark.memory.offHeap.size": "1g"}).off_heap == 0


def test_a_size_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match=r"spark\.executor\.memory is 'lots'"):
        containers_of({"spark.executor.memory": "lots"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spark.executor.cores", "two"),
        ("spark.executor.cores", "1.5"),
        ("spark.task.cpus", "0"),
        ("spark.task.cpus", "-1"),
        ("spark.executor.memoryOverheadFactor", "x"),
        ("spark.kubernetes.memoryOverheadFactor", "nan"),
        ("spark.executor.memoryOverheadFactor", "0"),
    ],
)
def test_a_setting_that_is_no_number_is_named_with_its_rule(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name} is '{value}'; give a"):
        containers_of({name: value})


def test_executors_are_known_where_the_settings_say() -> None:
    assert executors_of({}) is None
    assert executors_of({"spark.executor.instances": "4"}) == 4
    with pytest.raises(ConfigError, match=r"spark\.executor\.instances is 'many'"):
        executors_of({"spark.executor.instances": "many"})
