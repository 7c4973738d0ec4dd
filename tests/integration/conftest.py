"""One Spark session at a time: a process has one SparkContext, so the tests are ordered by the session they need."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyspark
import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from sparkweave.testing.hadoop import HadoopCluster

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

    def get(self, master: str) -> SparkSession:
        from sparkweave.spark.session import build_session

        if self._current is not None and self._current.sparkContext.master != master:
            self.stop()
        if self._current is None:
            self._current = build_session(master, SETTINGS)
        return self._current

    def stop(self) -> None:
        if self._current is not None:
            self._current.stop()
            self._current = None
            # Where local-cluster's workers keep their applications; they leave them behind.
            shutil.rmtree(Path(pyspark.__file__).parent / "work", ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need another session, or a cluster, come later: each is started and stopped once, not again and again."""
    for item in items:
        if "cluster_spark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cluster)
        if "hadoop" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.hadoop)
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    used = set(getattr(item, "fixturenames", ()))
    if "hadoop" in used:
        return 1 if "spark" in used else 3
    return 2 if "cluster_spark" in used else 0


@pytest.fixture(scope="session")
def spark_sessions() -> Iterator[Sessions]:
    sessions = Sessions()
    yield sessions
    sessions.stop()


@pytest.fixture(scope="session")
def spark(spark_sessions: Sessions) -> SparkSession:
    """A session on ``local[2]``: two slots in one JVM."""
    return spark_sessions.get(LOCAL)


@pytest.fixture(scope="session")
def cluster_spark(spark_sessions: Sessions) -> SparkSession:
    """A session on ``local-cluster[2,1,1024]``: two executors, each a JVM with one slot. Ends the `spark` session."""
    return spark_sessions.get(CLUSTER)


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
