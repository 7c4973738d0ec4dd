"""`sparkweave doctor` on real executors, and what is refused before training."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sparkweave.config import TrainingConfig
from sparkweave.deploy.doctor.finding import Finding
from sparkweave.errors import ResourceError
from sparkweave.spark.archives import read_image_archives
from sparkweave.spark.doctor import Examination, examine_cluster
from sparkweave.spark.trainer import Trainer
from sparkweave.testing.archives import write_image_archive

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.timeout(600)
WITHOUT_TORCH = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, path=None, target=None: None if name == "torch" else find(name, path, target)
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("data") / "train.zip"
    write_image_archive(path, labels=("0", "1"), images_per_label=20)
    return str(path)


def errors(found: Examination) -> list[Finding]:
    return [finding for finding in found.findings if finding.severity == "error"]


def test_two_slots_of_one_machine(spark: SparkSession, archive: str, tmp_path: Path) -> None:
    found = examine_cluster(spark, workers=2, output=str(tmp_path / "new" / "model.zip"), inputs=[archive])
    assert errors(found) == []
    assert [worker.rank for worker in found.cluster.workers] == [0, 1]
    for worker in found.cluster.workers:
        assert worker.versions == found.cluster.driver.versions
        assert worker.python == found.cluster.driver.python
        assert worker.memory > 50 << 20
        assert worker.local_folders[0].error is None
        assert [contact.error for contact in (worker.driver, *worker.peers)] == [None, None]
        assert worker.driver.seconds is not None
        assert worker.driver.offset is not None
        assert abs(worker.driver.offset) <= worker.driver.seconds / 2 + 0.001
    assert len(found.cluster.executors()) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_is_lacking(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    output = str(tmp_path / "file" / "model")
    found = examine_cluster(spark, workers=5, output=output, inputs=[str(tmp_path / "none.zip")])
    assert [finding.check for finding in errors(found)] == ["slots", "output", "input"]
    slots, written, read = errors(found)
    assert slots.what == "needs 5 workers, this session has 2 slots"
    assert "local[5]" in slots.fix
    assert output in written.what
    assert "none.zip" in read.what
    assert len(found.cluster.workers) == 2


def never_answers(_rows: Iterable[Any], **_arguments: Any) -> Iterator[str]:
    time.sleep(600)
    yield ""


def test_a_slot_that_never_answers_ends_the_examination(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    from sparkweave.spark import doctor

    monkeypatch.setattr(doctor, "probe_slot", never_answers)
    monkeypatch.setattr(doctor, "_LONGEST_SURVEY_SECONDS", 3.0)
    (finding,) = errors(examine_cluster(spark))
    assert finding.check == "executors"
    assert finding.what.startswith(
        "not all executors answered within 3 s; a Python process that was started there is stopped"
    )
    assert spark.sparkContext.parallelize(range(4), 2).sum() == 6


def test_an_archive_that_only_the_driver_sees(
    spark: SparkSession, archive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sparkweave.spark import doctor
    from sparkweave.spark.archive_paths import FoundArchives

    elsewhere = f"{archive}.not-there.zip"
    found = doctor.find_archives(spark, [archive])
    (fs, archives), *_ = found.in_ranges
    seen = FoundArchives(in_ranges=[(fs, [*archives, elsewhere])])
    monkeypatch.setattr(doctor, "find_archives", lambda _spark, _paths: seen)
    (finding,) = errors(examine_cluster(spark, inputs=[archive]))
    assert finding.check == "input"
    assert finding.what == f"{elsewhere} can't be read: No such file or directory"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"spark.dynamicAllocation.enabled": "true"},
            "--conf spark.dynamicAllocation.enabled=false and a fixed --num-executors",
        ),
        (
            {"spark.python.worker.killOnIdleTimeout": "true", "spark.python.worker.idleTimeoutSeconds": "60"},
            "Start with --conf spark.python.worker.killOnIdleTimeout=false",
        ),
    ],
)
def test_settings_are_refused_before_training(
    spark: SparkSession, archive: str, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], words: str
) -> None:
    from sparkweave.spark import slots

    there = slots.session_settings(spark)
    monkeypatch.setattr(slots, "session_settings", lambda _spark: {**there, **settings})
    with pytest.raises(ResourceError, match=words):
        Trainer("lenet", config=TrainingConfig(epochs=1)).fit(read_image_archives(spark, archive))


def test_another_python_is_refused_before_training(
    spark: SparkSession, archive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark.sparkContext, "pythonVer", "3.99")
    images = read_image_archives(spark, archive)
    with pytest.raises(ResourceError, match=r"runs Python 3\.\d+, and the driver 3\.99; .*sparkweave submit"):
        Trainer("lenet", config=TrainingConfig(epochs=1)).fit(images)
    (finding,) = errors(examine_cluster(spark))
    assert "and the driver 3.99" in finding.what


def test_another_python_is_told_with_its_host(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.version_info = (3, 10, 4, 'final', 0)\n")
    examined = run_with(python_with(tmp_path), "doctor", "--json", "--master", "local[1]")
    assert examined.returncode == 4, examined.stderr
    (finding,) = [finding for finding in json.loads(examined.stdout)["findings"] if finding["severity"] == "error"]
    assert (finding["check"], finding["host"]) == ("Python", socket.gethostname())
    assert finding["what"].startswith("Python is 3.10.4 (")


def test_no_python_at_all(tmp_path: Path) -> None:
    examined = run_with(tmp_path / "none", "doctor", "--json", "--master", "local[1]")
    assert examined.returncode == 4, examined.stderr
    (finding,) = [finding for finding in json.loads(examined.stdout)["findings"] if finding["severity"] == "error"]
    assert f"has no Python at {tmp_path}/none" in finding["what"]


def test_an_executor_without_torch(archive: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_TORCH)
    python = python_with(tmp_path)
    trained = run_with(python, "train", archive, "--output", str(tmp_path / "model"), "--master", "local[1]")
    assert trained.returncode == 4
    assert (
        f"Error: an executor on {socket.gethostname()} has no torch in its Python; run the same environment everywhere"
        in trained.stderr
    )
    assert "epoch" not in trained.stderr
    examined = run_with(python, "doctor", "--json", "--master", "local[1]")
    assert examined.returncode == 4
    (finding,) = [finding for finding in json.loads(examined.stdout)["findings"] if finding["severity"] == "error"]
    assert "No module named 'torch'" in finding["what"]


def test_a_python_with_nothing_in_it(tmp_path: Path) -> None:
    """The probe brings itself along."""
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    examined = run_with(bare / "bin" / "python", "doctor", "--json", "--master", "local-cluster[1,1,1024]")
    assert examined.returncode == 4, examined.stderr
    document = json.loads(examined.stdout)
    (finding,) = [finding for finding in document["findings"] if finding["severity"] == "error"]
    assert finding["what"].startswith("sparkweave, torch, pyarrow, numpy")
    assert document["workers"][0]["versions"]["torch"] is None


def python_with(folder: Path) -> Path:
    """This Python, changed by the ``sitecustomize`` in a folder."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder}:$PYTHONPATH exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python


def run_with(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, with another Python for the executors."""
    return subprocess.run(
        [sys.executable, "-m", "sparkweave", *arguments],
        env={**os.environ, "PYSPARK_PYTHON": str(python)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_executors_in_processes_of_their_own(cluster_spark: SparkSession, archive: str) -> None:
    found = examine_cluster(cluster_spark, inputs=[archive])
    assert errors(found) == []
    assert len(found.cluster.executors()) == 2
    for worker in found.cluster.workers:
        assert [contact.error for contact in (worker.driver, *worker.peers)] == [None, None]
        assert worker.reads == {}
