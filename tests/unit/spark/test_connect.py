"""What is asked of a Spark Connect session, without one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sparkweave.errors import ResourceError
from sparkweave.spark import connect as module
from sparkweave.spark.connect import ConnectRuntime


def runtime(host: str = "localhost", **settings: str) -> ConnectRuntime:
    named = {name.replace("_", "."): value for name, value in settings.items()}
    session: Any = SimpleNamespace(conf=SimpleNamespace(getAll=named), client=SimpleNamespace(host=host))
    return ConnectRuntime(session)


@pytest.mark.parametrize(
    ("settings", "slots"),
    [
        ({"spark_master": "local"}, 1),
        ({"spark_master": "local[4]"}, 4),
        ({"spark_master": "local[4, 2]", "spark_task_cpus": "2"}, 2),
        ({"spark_master": "local[*]"}, None),
        ({"spark_master": "local-cluster[2,1,1024]"}, None),
        ({"spark_master": "yarn", "spark_executor_instances": "2"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_slots_are_known_of_a_local_server_with_a_number(settings: dict[str, str], slots: int | None) -> None:
    assert runtime(**settings).slots() == slots


def test_values_go_with_the_tasks_unless_they_are_too_large_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", 10)
    first, second = runtime().share({"a": b"123", "b": b"45"}, b"67890")
    assert (first.value, second.value) == ({"a": b"123", "b": b"45"}, b"67890")
    with pytest.raises(
        ResourceError, match="state takes 11 bytes, and over Spark Connect at most 10 go to the workers"
    ):
        runtime().share({"a": b"123", "b": b"45"}, b"678901")


def test_workers_call_the_client_by_its_address_on_the_way_to_the_server() -> None:
    assert runtime("localhost").own_address() == ("127.0.0.1", None)
    assert runtime("no such host").own_address() == ("127.0.0.1", None)


def test_workers_find_each_other_towards_the_servers_driver() -> None:
    assert runtime(spark_driver_host="10.0.0.7").driver_host() == "10.0.0.7"
    assert runtime().driver_host() == "localhost"


@pytest.mark.parametrize(
    ("settings", "tasks"),
    [
        ({"spark_master": "local[3]", "spark_default_parallelism": "9"}, 3),
        ({"spark_master": "yarn", "spark_default_parallelism": "9", "spark_sql_shuffle_partitions": "7"}, 9),
        ({"spark_master": "yarn", "spark_sql_shuffle_partitions": "7"}, 7),
        ({"spark_master": "yarn"}, 200),
    ],
    ids=str,
)
def test_data_is_cut_for_the_slots_or_as_a_shuffle_is(settings: dict[str, str], tasks: int) -> None:
    assert runtime(**settings).parallelism() == tasks
