"""The memory plan against what really happens: on `local-cluster`, and on YARN, which kills containers for their memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.conftest import Sessions

from sparkweave.config import TrainingConfig
from sparkweave.deploy.footprint import measure_footprint
from sparkweave.deploy.memory_plan import Containers, MemoryPlan, Workload
from sparkweave.deploy.memory_size import MIB
from sparkweave.errors import ResourceError, WorkerError
from sparkweave.events import Restarted
from sparkweave.networks import describe_network
from sparkweave.spark.archives import read_image_archives
from sparkweave.spark.memory import DAEMON_MODULES, WORKER_MODULES
from sparkweave.spark.trainer import Trainer
from sparkweave.strategies import ParameterAveraging
from sparkweave.testing.archives import write_image_archive
from sparkweave.training.callbacks import Callback

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from sparkweave.spark.model import TrainedModel
    from sparkweave.testing.hadoop import HadoopCluster

pytestmark = pytest.mark.timeout(900)
IMAGES = 12_000


class Restarts(Callback):
    """Counts the restarts."""

    def __init__(self) -> None:
        self.count = 0

    def on_restart(self, event: Restarted) -> None:
        self.count += 1


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("memory") / "train.zip"
    write_image_archive(path, images_per_label=IMAGES // 3, size=(28, 28))
    return str(path)


def fit(spark: SparkSession, archive: str, callback: Callback | None = None, **options: Any) -> TrainedModel:
    config = TrainingConfig(**{"epochs": 1, "max_restarts": 1, **options})
    trainer = Trainer("lenet", config=config, callbacks=[callback] if callback else [])
    return trainer.fit(read_image_archives(spark, archive))


def plan(batch_size: int, workers: int) -> MemoryPlan:
    """Of `fit`, measured on this machine."""
    footprint = measure_footprint(
        network=describe_network("lenet"),
        strategy=ParameterAveraging(),
        config=TrainingConfig(batch_size=batch_size),
        input_shape=(1, 28, 28),
        classes=3,
        threads=1,
        daemon_modules=DAEMON_MODULES,
        worker_modules=WORKER_MODULES,
    )
    workload = Workload(
        footprint=footprint, batch_size=batch_size, prefetch=2, images=IMAGES, shape=(1, 28, 28), workers=workers
    )
    return MemoryPlan(workload, Containers())


def peaks_of_workers() -> list[int]:
    """The most memory that each Python worker of this session's executors has had resident."""
    peaks = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            descends = os.getpid() in ancestors(int(status.parent.name))
            command, text = (status.parent / "cmdline").read_text(), status.read_text()
        except OSError:  # it ended in this moment
            continue
        if descends and ".daemon" in command:
            peaks.append(int(re.findall(r"VmHWM:\s+(\d+)", text)[0]) << 10)
    return peaks


def ancestors(process: int) -> list[int]:
    """From its parent up to the first process."""
    parent = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    return [parent, *ancestors(parent)] if parent > 1 else [parent]


def test_a_worker_takes_what_the_plan_says(cluster_spark: SparkSession, archive: str) -> None:
    fit(cluster_spark, archive, batch_size=500, workers=2)
    needed, measured = plan(500, 2).worker, max(peaks_of_workers())
    assert 0.7 * needed < measured < needed, f"{measured / MIB:.0f} MiB measured, {needed / MIB:.0f} MiB planned"


def test_a_batch_too_large_for_the_limit_ends_in_an_error_that_says_so(
    cluster_spark: SparkSession, archive: str
) -> None:
    limit = plan(100, 2).limit_needed
    restarts = Restarts()
    with pytest.raises(WorkerError) as failed:
        fit(
            cluster_spark,
            archive,
            restarts,
            batch_size=IMAGES // 2,
            workers=2,
            native_memory=limit,
            ignore_memory_plan=True,
        )
    message = str(failed.value)
    assert re.match(
        r"worker \d on \S+ failed in step 1 of epoch 1: ResourceError: out of memory: --native-memory", message
    )
    assert f"allows {limit / MIB:,.0f} MiB" in message
    assert "with batches of 6000 images" in message
    assert "lower --batch-size, or raise --native-memory" in message
    assert restarts.count == 0
    fit(cluster_spark, archive, batch_size=100, workers=2, native_memory=limit)


def test_a_limit_below_the_need_is_refused_before_training(cluster_spark: SparkSession, archive: str) -> None:
    with pytest.raises(ResourceError, match="--native-memory is 256 MiB, and a worker needs"):
        fit(cluster_spark, archive, batch_size=100, workers=2, native_memory=256 * MIB)


@pytest.fixture
def small_containers(
    hadoop: HadoopCluster, spark_sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SparkSession]:
    """One executor on YARN with half the heap of Spark's default, and no overhead set."""
    settings = {
        **hadoop.hadoop_settings(),
        **hadoop.spark_conf(),
        "spark.executor.instances": "1",
        "spark.executor.memory": "512m",
    }
    monkeypatch.setenv("HADOOP_CONF_DIR", str(hadoop.conf_dir))  # spark-submit asks for it, should this start the JVM
    spark_sessions.stop()
    yield spark_sessions.get("yarn", settings)
    spark_sessions.stop()


def test_the_classic_case_is_refused_and_without_the_plan_explained(
    small_containers: SparkSession, archive: str
) -> None:
    with pytest.raises(ResourceError, match=r"the overhead of 384 MiB \(Spark's default, as none is set\)") as refused:
        fit(small_containers, archive, batch_size=IMAGES)
    assert "--conf spark.executor.memoryOverhead=" in str(refused.value)
    with pytest.raises(WorkerError) as killed:
        fit(small_containers, archive, batch_size=IMAGES, ignore_memory_plan=True, max_restarts=0)
    assert re.match(
        r"(worker 0: )?YARN killed a container for exceeding its physical memory limit: [\d.]+ [MG]B of 896 MB physical memory were in use; ",
        str(killed.value),
    )
    assert "lower --batch-size; `sparkweave plan` says how far" in str(killed.value)
