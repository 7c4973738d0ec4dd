"""HDFS and YARN on loopback: what `sparkweave.testing.hadoop` promises, and what other tests build on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyspark
import pytest
from py4j.protocol import Py4JJavaError

from sparkweave.testing.containers import container_processes
from sparkweave.testing.hadoop import HadoopCluster
from sparkweave.testing.ports import is_listening

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.timeout(900)

SCRIPT = """
from pyspark import SparkContext
context = SparkContext()
print("sum", context.parallelize(range(100), 2).sum(), "in", context.applicationId)
"""


def test_files_go_to_hdfs_and_come_back(hadoop: HadoopCluster, tmp_path: Path) -> None:
    (tmp_path / "first").write_bytes(bytes(range(256)) * 1000)
    hadoop.put(tmp_path / "first", "/files/there")
    assert hadoop.names("/files") == ["there"]
    hadoop.get("/files/there", tmp_path / "second")
    assert (tmp_path / "second").read_bytes() == (tmp_path / "first").read_bytes()


def test_everybody_may_write_to_tmp_and_the_user_has_a_home(hadoop: HadoopCluster) -> None:
    mode = hadoop.file_system.getFileStatus(hadoop.path("/tmp")).getPermission().toShort()
    assert oct(mode) == oct(0o1777)
    assert hadoop.file_system.exists(hadoop.path(hadoop.home))


def test_daemons_set_the_modes_of_local_files_themselves(hadoop: HadoopCluster, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    local = hadoop._process.jvm.org.apache.hadoop.fs.FileContext.getLocalFSFileContext()
    assert local.getDefaultFileSystem().getClass().getName() == "QuickLocalFs"
    for mode in (0o555, 0o1640):
        local.setPermission(hadoop.path(str(file)), hadoop._daemons.permission(mode))
        assert file.stat().st_mode & 0o7777 == mode


def test_a_local_session_that_runs_already_reads_and_writes_by_full_addresses(
    hadoop: HadoopCluster, spark: SparkSession
) -> None:
    spark.range(10).write.parquet(hadoop.uri("/numbers"))
    assert "_SUCCESS" in hadoop.names("/numbers")
    assert spark.read.parquet(hadoop.uri("/numbers")).count() == 10


def test_spark_submit_finds_the_cluster_and_its_logs_can_be_read(hadoop: HadoopCluster, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(SCRIPT)
    settings = [f"--conf={name}={value}" for name, value in hadoop.spark_conf().items()]
    command = [
        f"{Path(pyspark.__file__).parent}/bin/spark-submit",
        "--master=yarn",
        "--executor-memory=512m",
        *settings,
    ]
    environment = {**os.environ, **hadoop.environment(), "PYSPARK_PYTHON": sys.executable}
    result = subprocess.run(
        [*command, str(tmp_path / "job.py")], env=environment, capture_output=True, text=True, check=False
    )
    assert "sum 4950 in application_" in result.stdout, result.stderr
    application = result.stdout.split()[-1]
    assert "Finished task" in hadoop.application_logs(application)
    states: list[str] = []
    for _ in range(60):  # YARN hears of the end a moment after the driver has gone
        states = [entry["state"] for entry in hadoop.applications() if entry["id"] == application]
        if states == ["FINISHED"]:
            break
        time.sleep(0.5)
    assert states == ["FINISHED"]


def test_containers_see_no_python_and_no_hadoop_settings(hadoop: HadoopCluster, yarn_spark: SparkSession) -> None:
    (found,) = yarn_spark.sparkContext.parallelize([0], 1).mapPartitions(look_around).collect()
    assert found["path"] == str(hadoop.folder / "bin")
    assert found["programs"] == {"python": None, "python3": None, "sh": str(hadoop.folder / "bin" / "sh")}
    assert found["hadoop"] is None


def test_a_job_that_needs_the_nodes_python_fails(yarn_spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yarn_spark.sparkContext, "pythonExec", "python3")
    with pytest.raises(Py4JJavaError, match='Cannot run program "python3"'):
        yarn_spark.sparkContext.parallelize([0], 1).mapPartitions(look_around).collect()


def test_yarn_kills_a_container_over_its_memory(yarn_spark: SparkSession) -> None:
    with pytest.raises(Py4JJavaError, match="killed by YARN for exceeding physical memory limits"):
        yarn_spark.sparkContext.parallelize([0], 1).mapPartitions(take_two_gibibytes).collect()


def test_one_executor_can_be_killed_and_yarn_starts_another(hadoop: HadoopCluster, yarn_spark: SparkSession) -> None:
    await_that(lambda: len(executors(hadoop, yarn_spark)) == 2)
    victim, other = executors(hadoop, yarn_spark)
    hadoop.kill_container(victim)
    await_that(lambda: len(executors(hadoop, yarn_spark)) == 2 and victim not in executors(hadoop, yarn_spark))
    assert other in executors(hadoop, yarn_spark)
    assert yarn_spark.sparkContext.parallelize(range(10), 2).sum() == 45


def test_a_node_can_be_stopped_and_nothing_is_left_in_the_end(tmp_path: Path) -> None:
    with HadoopCluster(tmp_path / "cluster") as cluster:
        assert cluster.active_nodes() == 2
        cluster.stop_node_manager(0)
        assert cluster.active_nodes() == 1
        assert all(is_listening(port) for port in cluster.ports[:1])
    assert not cluster.is_running()
    assert not [port for port in cluster.ports if is_listening(port)]
    assert not container_processes(cluster.folder)


def look_around(_rows: Iterable[int]) -> Iterator[dict[str, object]]:
    """What a container's process sees."""
    programs = {name: shutil.which(name) for name in ("python", "python3", "sh")}
    yield {"path": os.environ["PATH"], "programs": programs, "hadoop": os.environ.get("HADOOP_CONF_DIR")}


def take_two_gibibytes(_rows: Iterable[int]) -> Iterator[int]:
    """Uses more memory than a container of 1.5 GiB may."""
    taken = b"x" * (2 << 30)
    time.sleep(120)
    yield len(taken)


def executors(hadoop: HadoopCluster, session: SparkSession) -> list[str]:
    """The names of a session's containers but its application master's."""
    application = session.sparkContext.applicationId
    return [
        container.name
        for container in hadoop.containers()
        if container.application == application and not container.is_application_master
    ]


def await_that(condition: Callable[[], bool]) -> None:
    """Until ``condition`` holds; the test's own timeout ends a wait in vain."""
    while not condition():
        time.sleep(0.2)
