"""Submissions to a real YARN whose nodes have no Python: this Python, packed, trains there, from HDFS to HDFS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.deploy.cluster_files import ClusterFiles
from sparkweave.testing.archives import write_image_archive

if TYPE_CHECKING:
    from sparkweave.testing.hadoop import HadoopCluster

CLASSIC = ("--master", "yarn", "--deploy-mode", "cluster", "--num-executors", "2", "--executor-memory", "512m", "--driver-memory", "1g")  # fmt: skip
TRAINING = ("--epochs", "3", "--batch-size", "10", "--workers", "2", "--seed", "7", "--network", "network.yaml")
NETWORK = """\
layers:
  - Conv2d: {out_channels: 4, kernel_size: 3}
  - ReLU
  - Flatten
  - Linear: {out_features: classes}
"""
Command = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gateway")
    write_image_archive(folder / "train.zip", labels=("0", "1", "2"), images_per_label=30, size=(8, 8))
    write_image_archive(folder / "test.zip", labels=("0", "1", "2"), images_per_label=10, size=(8, 8))
    (folder / "network.yaml").write_text(NETWORK)
    return folder


@pytest.fixture(scope="module")
def sparkweave(folder: Path, hadoop: HadoopCluster) -> Command:
    """Runs the command as on a gateway machine."""
    environment = {**os.environ, **hadoop.environment(), "SPARK_CONF_DIR": str(hadoop.conf_dir)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sparkweave", *arguments]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="module")
def trained(sparkweave: Command, hadoop: HadoopCluster, packed_environment: Path) -> subprocess.CompletedProcess[str]:
    """A training in cluster mode, its archives brought along."""
    inputs = ("train", "train.zip", "--test", "test.zip", "--output", "hdfs:///models/model.zip")
    result = sparkweave(
        "submit", *CLASSIC, "--environment", str(packed_environment), "--upload", "--", *inputs, *TRAINING
    )
    logs = [hadoop.application_logs(application["id"]) for application in hadoop.applications() if result.returncode]
    assert result.returncode == 0, "\n".join([result.stderr, *logs])
    return result


def test_the_driver_in_the_cluster_is_heard_here(trained: subprocess.CompletedProcess[str]) -> None:
    assert "Accuracy:" in trained.stdout
    for line in (
        "is RUNNING: http://",
        "90 images of 3 classes: 2 workers",
        "epoch 3/3: loss",
        "Saved the model: hdfs:///models/",
    ):
        assert line in trained.stderr
    assert "Traceback" not in trained.stderr


def test_the_model_is_bit_for_bit_that_of_this_machine(
    trained: subprocess.CompletedProcess[str], sparkweave: Command, hadoop: HadoopCluster, folder: Path
) -> None:
    here = sparkweave(
        "train", "train.zip", "--test", "test.zip", "--output", "here.zip", *TRAINING, "--master", "local[2]"
    )
    assert here.returncode == 0, here.stderr
    assert here.stdout == trained.stdout
    hadoop.get("/models/model.zip", folder / "there.zip")
    found, expected = (ModelArtifact.load(str(folder / name)).weights for name in ("there.zip", "here.zip"))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_what_was_shipped_is_used_again_and_a_driver_here_works_too(
    trained: subprocess.CompletedProcess[str], sparkweave: Command, packed_environment: Path
) -> None:
    assert "Uploaded environment.tar.gz" in trained.stderr
    (url,) = [word for word in trained.stderr.split() if word.startswith("hdfs://") and word.endswith("test.zip")]
    client = [word if word != "cluster" else "client" for word in CLASSIC]
    model = ("evaluate", "hdfs:///models/model.zip", url, "--json")
    result = sparkweave("submit", *client, "--environment", str(packed_environment), "--", *model)
    assert result.returncode == 0, result.stderr
    assert "Uploaded" not in result.stderr
    accuracy = json.loads(result.stdout)["evaluation"]["accuracy"]
    assert f"Accuracy:        {accuracy:.4f}" in trained.stdout


def test_old_runs_are_forgotten(
    trained: subprocess.CompletedProcess[str], hadoop: HadoopCluster, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in hadoop.environment().items():
        monkeypatch.setenv(name, value)
    files = ClusterFiles()
    files.upload(folder / "network.yaml", "runs/1/transcript.json")
    files.forget_old("runs", seconds=3600)
    assert files.has("runs/1/transcript.json")
    files.forget_old("runs", seconds=-3600)
    assert not files.has("runs/1")


def test_a_failing_worker_is_explained_here_with_where_its_log_is(
    trained: subprocess.CompletedProcess[str], sparkweave: Command, packed_environment: Path
) -> None:
    (url,) = [word for word in trained.stderr.split() if word.startswith("hdfs://") and word.endswith("train.zip")]
    diverging = ("--learning-rate", "1e30", "--optimizer", "sgd", *TRAINING)
    result = sparkweave(
        "submit", *CLASSIC, "--environment", str(packed_environment), "--", "train", url, "--output", "hdfs:///models/none", *diverging
    )  # fmt: skip
    assert result.returncode == 5, result.stderr
    assert "Error: worker " in result.stderr
    assert "lower --learning-rate" in result.stderr
    assert "yarn logs -applicationId application_" in result.stderr
