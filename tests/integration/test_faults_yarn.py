"""Containers, drivers and application masters killed in mid-training on a real YARN: the model is that of an undisturbed run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyspark
import pytest
from tests.integration.training_faults import Watcher, assert_same, fit

from sparkweave.cli import main
from sparkweave.events import Restarted
from sparkweave.spark.model import TrainedModel
from sparkweave.testing.archives import write_image_archive
from sparkweave.testing.faults import FACTORY, Fault, injected
from sparkweave.testing.hadoop_settings import URGENT_QUEUE

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from sparkweave.testing.containers import Container
    from sparkweave.testing.hadoop import HadoopCluster

# The first segment is one epoch, the second one all others: long enough that what is done after epoch 2 is done in mid-training.
LONG = {"epochs": 300, "segment_seconds": 600.0, "ignore_memory_plan": True}
ON_YARN = (
    *("--master", "yarn", "--conf", "spark.executor.instances=2"),
    *("--conf", "spark.executor.memory=512m", "--conf", "spark.executor.memoryOverhead=1280m"),
)
URGENT = """
import sys, time
from pathlib import Path
from pyspark import SparkContext
while not Path(sys.argv[1]).exists():
    time.sleep(0.1)
print("sum", SparkContext().parallelize(range(100), 2).sum())
"""

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def archive(hadoop: HadoopCluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("faults") / "train.zip"
    write_image_archive(path, labels=("0", "1", "2"), images_per_label=40, size=(8, 8))
    hadoop.put(path, "/faults/train.zip")
    return hadoop.uri("/faults/train.zip")


@pytest.fixture(scope="module")
def undisturbed(yarn_spark: SparkSession, archive: str) -> TrainedModel:
    return fit(yarn_spark, archive, **LONG)


@pytest.fixture
def out(hadoop: HadoopCluster) -> Iterator[str]:
    yield hadoop.uri("/faults/out")
    hadoop.file_system.delete(hadoop.path("/faults/out"), True)  # noqa: FBT003 - Java's


def command(archive: str, out: str, *arguments: str) -> list[str]:
    options = ("--checkpoint-dir", f"{out}/run", "--network", FACTORY, "--batch-size", "10")
    return ["train", archive, "--output", f"{out}/model.zip", *options, *arguments]


@contextlib.contextmanager
def driver(hadoop: HadoopCluster, log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command on the cluster in a process of its own; whatever happens, it is dead in the end."""
    environment = {**os.environ, **hadoop.environment(), "SPARK_CONF_DIR": str(hadoop.conf_dir)}
    with log.open("wb") as output:
        line = [sys.executable, "-m", "sparkweave", *arguments]
        process = subprocess.Popen(line, stdout=output, stderr=output, env=environment)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def await_that(
    condition: Callable[[], bool], process: subprocess.Popen[bytes] | None = None, log: Path | None = None
) -> None:
    """Until ``condition`` holds; the test's own timeout ends a wait in vain, the death of ``process`` at once."""
    while not condition():
        assert process is None or process.poll() is None, log and log.read_text()
        time.sleep(0.1)


def containers(hadoop: HadoopCluster, application: str) -> list[Container]:
    return [container for container in hadoop.containers() if container.application == application]


def newest_application(hadoop: HadoopCluster) -> str:
    return str(hadoop.applications()[-1]["id"])


def is_in_mid_training(log: Path) -> bool:
    """The first segment is one epoch, the second one many."""
    return log.read_text().count("\nepoch ") >= 2


def test_a_run_whose_driver_and_then_its_application_master_were_killed_is_taken_up_to_the_same_model(
    hadoop: HadoopCluster, spark: SparkSession, archive: str, out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    log, endless = tmp_path / "log", ("--epochs", "100000")
    with driver(hadoop, log, *command(archive, out, *endless, *ON_YARN)) as process:
        await_that(lambda: is_in_mid_training(log), process, log)
        application = newest_application(hadoop)
        assert main.run(command(archive, out, "--resume", *endless, "--master", "local[2]")) == 6
        assert f"the driver with process id {process.pid} on " in capsys.readouterr().err
        process.kill()
    await_that(lambda: not containers(hadoop, application))

    with driver(hadoop, log, *command(archive, out, "--resume", *endless, *ON_YARN)) as process:
        await_that(lambda: is_in_mid_training(log), process, log)
        application = newest_application(hadoop)
        (master,) = [found for found in containers(hadoop, application) if found.is_application_master]
        master.kill()
        assert process.wait() == 5, log.read_text()
        assert "the Spark session ended during training" in log.read_text()
    await_that(lambda: not containers(hadoop, application))

    done = max(int(name[6:12]) for name in hadoop.names("/faults/out/run") if name.startswith("epoch-"))
    epochs = ("--epochs", str(done + 2))
    with driver(hadoop, log, *command(archive, out, "--resume", *epochs, *ON_YARN)) as process:
        assert process.wait() == 0, log.read_text()
    assert f"Going on after epoch {done}" in log.read_text()
    assert main.run(command(archive, f"{out}/straight", *epochs, "--master", "local[2]")) == 0
    assert_same(
        TrainedModel.load(f"{out}/model.zip", allow_code=True),
        TrainedModel.load(f"{out}/straight/model.zip", allow_code=True),
    )


def test_an_interrupt_leaves_no_application_and_no_container(
    hadoop: HadoopCluster, archive: str, out: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with driver(hadoop, log, *command(archive, out, "--epochs", "100000", *ON_YARN)) as process:
        await_that(lambda: is_in_mid_training(log), process, log)
        application = newest_application(hadoop)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130, log.read_text()
    await_that(lambda: not containers(hadoop, application))
    assert [found["state"] for found in hadoop.applications() if found["id"] == application] == ["FINISHED"]
    assert [name for name in hadoop.names("/faults/out/run") if not name.startswith("epoch-")] == []


def test_all_executors_that_were_asked_for_train(hadoop: HadoopCluster, yarn_spark: SparkSession, archive: str) -> None:
    (started,) = [
        entry
        for entry in fit(yarn_spark, archive, workers=None, ignore_memory_plan=True).history
        if entry["event"] == "run_started"
    ]
    assert started["workers"] == 2


def test_a_killed_container_leaves_no_trace_in_the_model_and_its_end_is_explained(
    hadoop: HadoopCluster, yarn_spark: SparkSession, archive: str, undisturbed: TrainedModel
) -> None:
    def kill() -> None:
        application = str(yarn_spark.sparkContext.applicationId)
        next(found for found in containers(hadoop, application) if not found.is_application_master).kill()

    watcher = Watcher(kill, after_epoch=2)
    assert_same(fit(yarn_spark, archive, watcher, **LONG), undisturbed)
    (event,) = watcher.events
    assert isinstance(event, Restarted)
    assert (event.epoch, event.restarts_left) == (1, 2)
    assert "exit status 137" in event.reason
    assert "`sparkweave plan` says how far" in event.reason


def test_what_a_more_urgent_queue_takes_is_no_failure_and_leaves_no_trace(
    hadoop: HadoopCluster, yarn_spark: SparkSession, archive: str, undisturbed: TrainedModel, tmp_path: Path
) -> None:
    stall = Fault(kind="stall", rank=0, step=30, marker=str(tmp_path / "stalled"))
    watcher = Watcher()
    with urgent_job(hadoop, tmp_path, stall.marker) as job, injected(yarn_spark, stall):
        model = fit(yarn_spark, archive, watcher, max_restarts=0, **LONG)
        output, _ = job.communicate()
    assert "sum 4950" in output
    assert_same(model, undisturbed)
    assert watcher.events
    for event in watcher.events:
        assert isinstance(event, Restarted)
        assert event.restarts_left == 0
    assert "preempt" in watcher.events[0].reason


@contextlib.contextmanager
def urgent_job(hadoop: HadoopCluster, folder: Path, start: str) -> Iterator[subprocess.Popen[str]]:
    """A small job in a queue that takes executors from those of the default queue, as soon as there is the file ``start``."""
    (folder / "urgent.py").write_text(URGENT)
    command = [f"{Path(pyspark.__file__).parent}/bin/spark-submit", "--master=yarn", f"--queue={URGENT_QUEUE}"]
    command += ["--num-executors=2", "--executor-memory=2560m", "--conf=spark.scheduler.minRegisteredResourcesRatio=0"]
    command += [f"--conf={name}={value}" for name, value in hadoop.spark_conf().items()]
    environment = {**os.environ, **hadoop.environment(), "PYSPARK_PYTHON": sys.executable}
    with subprocess.Popen(
        [*command, str(folder / "urgent.py"), start],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as job:
        try:
            yield job
        finally:
            job.kill()
