"""Sessions and clusters, one Spark session at a time: a process has one SparkContext. `tests/conftest.py` orders the tests by them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pyspark
import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from sparkweave.testing.hadoop import HadoopCluster
    from sparkweave.testing.kafka import KafkaBroker
    from sparkweave.testing.standalone import StandaloneCluster

LOCAL = "local[2]"
CLUSTER = "local-cluster[2,1,1024]"
SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "4",
    # Executors start in folders of their own, and unpickle functions of these tests by name.
    "spark.executorEnv.PYTHONPATH": str(Path(__file__).parents[2]),
}


class Sessions:
    """Hands out the session of one master, and stops the one of another master first."""

    def __init__(self) -> None:
        self._current: SparkSession | None = None
        self._application = ""

    def get(self, master: str, settings: Mapping[str, str] | None = None) -> SparkSession:
        from sparkweave.spark.session import build_session

        if self._current is not None and self._current.sparkContext.master != master:
            self.stop()
        if self._current is None:
            forget_dead_jvm()
            self._current = build_session(master, {**SETTINGS, **(settings or {})})
            self._application = str(self._current.sparkContext.applicationId)
        return self._current

    def start_jvm(self) -> None:
        """Which stays for all sessions: it must know no cluster, as a session on one would tell it of."""
        from pyspark import SparkContext

        forget_dead_jvm()
        if SparkContext._gateway is None:
            self.get(LOCAL)

    def stop(self) -> None:
        if self._current is not None:
            self._current.stop()  # a test may have ended it already
            self._current = None
            # Where local-cluster's workers keep their applications, other sessions' among them; they leave them behind.
            shutil.rmtree(Path(pyspark.__file__).parent / "work" / self._application, ignore_errors=True)


def forget_dead_jvm() -> None:
    """Lets the next session start a JVM of its own if a test has ended the one there was."""
    from pyspark import SparkContext

    process = getattr(SparkContext._gateway, "proc", None)
    if process is not None and process.poll() is not None:
        SparkContext._gateway = SparkContext._jvm = None


@pytest.fixture(scope="session")
def spark_sessions() -> Iterator[Sessions]:
    sessions = Sessions()
    yield sessions
    sessions.stop()


@pytest.fixture(scope="module")
def spark(spark_sessions: Sessions) -> SparkSession:
    """A session on ``local[2]``: two slots in one JVM."""
    return spark_sessions.get(LOCAL)


@pytest.fixture(scope="module")
def cluster_spark(spark_sessions: Sessions) -> SparkSession:
    """A session on ``local-cluster[2,1,1024]``: two executors, each a JVM with one slot. Ends the `spark` session."""
    from sparkweave.spark.java import find_java
    from sparkweave.testing.java_process import spark_options

    return spark_sessions.get(CLUSTER, {"spark.executor.extraJavaOptions": spark_options(find_java())})


@pytest.fixture(scope="session")
def packed_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The running environment as an archive for nodes without GPUs: no pyspark, which Spark brings."""
    from sparkweave.deploy.pack import Order, pack

    output = tmp_path_factory.mktemp("environment") / "environment.tar.gz"
    yield pack(Order(output=output, cpu=True)).output
    output.unlink()  # pytest keeps the folders of its last three runs


@pytest.fixture(scope="session")
def hadoop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HadoopCluster]:
    """HDFS and YARN with two nodes that have no Python, started once; skips where their jars can't be had, but not in CI."""
    from sparkweave.errors import ResourceError
    from sparkweave.spark.java import find_java
    from sparkweave.testing.hadoop import HadoopCluster
    from sparkweave.testing.hadoop_jars import daemon_class_path

    try:
        daemon_class_path(find_java())
    except ResourceError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    with HadoopCluster(tmp_path_factory.mktemp("hadoop")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A Kafka broker, started once; skips where its jars can't be had, but not in CI."""
    from sparkweave.errors import ResourceError
    from sparkweave.spark.java import find_java
    from sparkweave.testing.kafka import KafkaBroker, broker_class_path

    try:
        broker_class_path(find_java())
    except ResourceError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    with KafkaBroker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="module")
def yarn_spark(spark_sessions: Sessions, hadoop: HadoopCluster) -> SparkSession:
    """A session on `hadoop`: two executors of one core in containers of 1.5 GiB. They run this machine's Python by its full path."""
    settings = {
        **hadoop.hadoop_settings(),
        **hadoop.spark_conf(),
        "spark.hadoop.fs.defaultFS": hadoop.fs_uri,
        "spark.yarn.isPython": "true",  # what spark-submit says of a Python program
        "spark.executor.instances": "2",
        "spark.executor.memory": "512m",
        "spark.executor.memoryOverhead": "1g",
        "spark.task.maxFailures": "1",
    }
    spark_sessions.get(
        LOCAL
    )  # so that the JVM, which stays, knows no cluster: this machine's disk is the default of other sessions
    return spark_sessions.get("yarn", settings)


@pytest.fixture(scope="session")
def standalone_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneCluster]:
    from sparkweave.testing.standalone import StandaloneCluster

    with StandaloneCluster(tmp_path_factory.mktemp("standalone")) as cluster:
        yield cluster


@pytest.fixture
def standalone(standalone_cluster: StandaloneCluster) -> StandaloneCluster:
    """Spark's own cluster manager with two workers, whatever the test before did to them."""
    while standalone_cluster.alive_workers() < 2:
        standalone_cluster.start_worker()
    return standalone_cluster


@pytest.fixture
def standalone_spark(spark_sessions: Sessions, standalone: StandaloneCluster) -> SparkSession:
    """A session on `standalone`: an executor with one slot on each worker."""
    return spark_sessions.get(standalone.master, standalone.spark_conf())
