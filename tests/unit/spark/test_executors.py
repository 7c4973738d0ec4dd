"""How many executors a session asks for."""

from __future__ import annotations

import pytest

from sparkweave.spark.executors import asked_executors

INSTANCES, CORES, MOST = "spark.executor.instances", "spark.executor.cores", "spark.cores.max"


@pytest.mark.parametrize(
    ("settings", "cores", "setting"),
    [
        ({"spark.master": "yarn", INSTANCES: "3", CORES: "4"}, 12, "spark.executor.instances=3"),
        ({"spark.master": "yarn", INSTANCES: "3"}, 3, "spark.executor.instances=3"),
        ({"spark.master": "yarn"}, 2, "spark.executor.instances=2"),
        ({"spark.master": "k8s://https://host:6443", INSTANCES: "5"}, 5, "spark.executor.instances=5"),
        ({"spark.master": "local-cluster[2, 3, 1024]"}, 6, "--master local-cluster[2, 3, 1024]"),
        ({"spark.master": "spark://host:7077", MOST: "8"}, 8, "spark.cores.max=8"),
        ({"spark.master": "spark://host:7077", MOST: "8", CORES: "3"}, 6, "spark.cores.max=8"),
    ],
)
def test_what_is_asked_for_is_in_the_settings(settings: dict[str, str], cores: int, setting: str) -> None:
    asked = asked_executors(settings)
    assert asked is not None
    assert (asked.cores, asked.setting) == (cores, setting)


@pytest.mark.parametrize("settings", [{"spark.master": "spark://host:7077", INSTANCES: "2"}, {}])
def test_elsewhere_any_number_may_come(settings: dict[str, str]) -> None:
    assert asked_executors(settings) is None
