"""`sparkweave doctor` in YARN's containers, and on Spark's own cluster manager."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkweave.spark.doctor import examine_cluster
from sparkweave.testing.archives import write_image_archive

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from sparkweave.spark.doctor import Examination
    from sparkweave.testing.hadoop import HadoopCluster
    from sparkweave.testing.standalone import StandaloneCluster

pytestmark = pytest.mark.timeout(900)


def assert_fit(found: Examination, executors: int) -> None:
    """No errors, and each executor has reached all others and the driver."""
    assert [finding for finding in found.findings if finding.severity == "error"] == []
    assert len(found.cluster.executors()) == executors
    for worker in found.cluster.workers:
        assert [contact.error for contact in (worker.driver, *worker.peers)] == [None] * executors
        assert worker.reads == {}


def test_containers_that_read_hdfs(hadoop: HadoopCluster, yarn_spark: SparkSession, tmp_path: Path) -> None:
    write_image_archive(tmp_path / "train.zip", labels=("0", "1"), images_per_label=5)
    hadoop.put(tmp_path / "train.zip", "/doctor/train.zip")
    there = hadoop.uri("/doctor/train.zip")
    found = examine_cluster(yarn_spark, workers=2, inputs=[there], output=hadoop.uri("/doctor/models/model.zip"))
    assert_fit(found, executors=2)
    containers = found.cluster.containers
    assert containers is not None
    assert containers.limited
    assert hadoop.names("/doctor") == ["train.zip"]


def test_a_folder_on_hdfs_that_can_not_be_written_to(
    hadoop: HadoopCluster, yarn_spark: SparkSession, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("a file")
    hadoop.put(tmp_path / "file", "/doctor-file")
    output = hadoop.uri("/doctor-file/model.zip")
    (finding,) = [f for f in examine_cluster(yarn_spark, output=output).findings if f.severity == "error"]
    assert finding.check == "output"
    assert output in finding.what


def test_sparks_own_cluster_manager(standalone: StandaloneCluster, standalone_spark: SparkSession) -> None:
    assert_fit(examine_cluster(standalone_spark), executors=2)
