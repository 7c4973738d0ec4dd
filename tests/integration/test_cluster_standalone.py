"""Spark's own cluster manager on loopback: what `sparkweave.testing.standalone` promises."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkweave.spark.slots import count_slots
from sparkweave.testing.ports import is_listening
from sparkweave.testing.standalone import StandaloneCluster

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.timeout(600)


def test_a_job_goes_on_when_a_worker_is_lost_and_when_one_comes(
    standalone: StandaloneCluster, standalone_spark: SparkSession
) -> None:
    assert total(standalone_spark) == 4950
    standalone.kill_worker(0)
    assert total(standalone_spark) == 4950
    started = standalone.start_worker()
    assert standalone.alive_workers() == 2
    standalone.kill_worker(1)
    assert total(standalone_spark) == 4950
    assert f"worker-{started}.log" in standalone.logs()


def test_a_decommissioned_worker_leaves_in_order(standalone: StandaloneCluster, standalone_spark: SparkSession) -> None:
    number = standalone.start_worker()
    others = standalone.alive_workers() - 1
    while count_slots(standalone_spark) <= others:  # Spark does not tell an executor that is just starting
        time.sleep(0.1)
    standalone.decommission_worker(number)
    while standalone.alive_workers() > others:
        time.sleep(0.1)
    assert "DECOMMISSIONED" in [worker["state"] for worker in standalone.workers()]
    assert total(standalone_spark) == 4950


def test_nothing_is_left_in_the_end(tmp_path: Path) -> None:
    with StandaloneCluster(tmp_path, workers=1) as cluster:
        ports = [int(cluster.master.rpartition(":")[2]), *(worker["port"] for worker in cluster.workers())]
        assert [is_listening(port) for port in ports] == [True, True]
    assert [is_listening(port) for port in ports] == [False, False]


def total(spark: SparkSession) -> int:
    return int(spark.sparkContext.parallelize(range(100), 4).sum())
