from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pyspark
import pytest

from sparkweave.errors import ConfigError
from sparkweave.spark.session import build_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from pyspark.sql import SparkSession


def same(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from batches


def test_runs_python_in_its_tasks(spark: SparkSession) -> None:
    frame = spark.range(10)
    assert frame.mapInArrow(same, frame.schema).count() == 10


def test_defaults_of_the_session(spark: SparkSession) -> None:
    conf = spark.sparkContext.getConf()
    assert conf.get("spark.app.name") == "sparkweave"
    assert conf.get("spark.driver.host") == "127.0.0.1"
    assert conf.get("spark.python.worker.faulthandler.enabled") == "true"
    assert spark.conf.get("spark.sql.files.archive.reader.enabled") == "true"


def test_a_running_session_is_taken_as_it_is(spark: SparkSession) -> None:
    again = build_session(None, {"spark.sql.shuffle.partitions": "4"})
    assert again.sparkContext is spark.sparkContext


def test_another_master_is_refused_while_a_session_runs(spark: SparkSession) -> None:
    with pytest.raises(
        ConfigError, match=r"master is 'local\[7\]', but a Spark session is running with master 'local\[2\]'"
    ):
        build_session("local[7]")


def test_a_fixed_setting_is_refused_while_a_session_runs(spark: SparkSession) -> None:
    with pytest.raises(ConfigError, match=r"spark\.driver\.memory can't be changed in a running Spark session"):
        build_session(None, {"spark.driver.memory": "3g"})


def test_the_environment_is_put_back(spark: SparkSession) -> None:
    assert "SPARKWEAVE_JAVA" not in os.environ
    assert "SPARK_SUBMIT_OPTS" not in os.environ


def test_executors_run_python(cluster_spark: SparkSession) -> None:
    frame = cluster_spark.range(10)
    assert frame.mapInArrow(same, frame.schema).count() == 10


def daemon_of(_: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyspark

    command = Path(f"/proc/{os.getppid()}/cmdline").read_text().split("\0")
    yield pa.RecordBatch.from_pydict({"module": [command[2]], "pyspark": [str(pyspark.__file__)]})


def test_workers_are_forked_from_a_process_with_the_imports_in_place(spark: SparkSession) -> None:
    row = spark.range(1).mapInArrow(daemon_of, "module string, pyspark string").first()
    assert row is not None
    assert row["module"] == "sparkweave.spark.daemon"
    assert row["pyspark"] == pyspark.__file__


def draw(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    import numpy as np
    import pyarrow as pa
    from pyspark import BarrierTaskContext

    BarrierTaskContext.get().barrier()  # so that no process runs both tasks
    for _ in batches:
        yield pa.RecordBatch.from_pydict({"process": [os.getpid()], "number": [np.random.rand()]})  # noqa: NPY002 - what users may call


def test_workers_draw_different_random_numbers(spark: SparkSession) -> None:
    frame = spark.range(0, 2, 1, numPartitions=2)
    rows = frame.mapInArrow(draw, "process bigint, number double", barrier=True).collect()
    assert len({row["process"] for row in rows}) == len({row["number"] for row in rows}) == 2
