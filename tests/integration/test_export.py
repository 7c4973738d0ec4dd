"""From a real training to other tools: its run in MLflow and TensorBoard, its model in MLflow and ONNX Runtime."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnxruntime
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.inference.predictor import Predictor
from sparkweave.inference.task import PredictorTask
from sparkweave.testing.archives import write_image_archive

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:mlflow.*")

SETTINGS = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}


@pytest.fixture
def archive(tmp_path: Path) -> str:
    path = tmp_path / "train.zip"
    write_image_archive(path, labels=("0", "1"), images_per_label=20)
    return str(path)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    return f"file://{tmp_path}/mlflow"


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sparkweave", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **SETTINGS}
    )


def only_run(store: str) -> Any:
    client = mlflow.MlflowClient(store)
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    return run


def options(tmp_path: Path, store: str, *further: str) -> tuple[str, ...]:
    return (
        "--output", str(tmp_path / "model.zip"), "--master", "local[2]", "--batch-size", "10", "--workers", "2",
        "--tensorboard", str(tmp_path / "events"), "--mlflow", store, "--mlflow-experiment", "digits", *further,
    )  # fmt: skip


def test_a_run_and_its_model(archive: str, tmp_path: Path, store: str) -> None:
    process = start("train", archive, "--test", archive, *options(tmp_path, store, "--epochs", "3"))
    _, err = process.communicate()
    assert process.returncode == 0, err
    for word in ("Warning", "WARN", "Traceback", "torchvision"):
        assert word not in err
    run = only_run(store)
    assert run.info.status == "FINISHED"
    assert {name: run.data.params[name] for name in ("epochs", "workers", "batch_size", "network")} == {
        "epochs": "3", "workers": "2", "batch_size": "10", "network": "lenet",
    }  # fmt: skip
    artifact = ModelArtifact.load(str(tmp_path / "model.zip"))
    told = [record["loss"] for record in artifact.history if record["event"] == "epoch"]
    kept = mlflow.MlflowClient(store).get_metric_history(run.info.run_id, "train/loss")
    assert [(metric.step, metric.value) for metric in kept] == list(enumerate(told, start=1))
    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    assert [event.value for event in events.Scalars("train/loss")] == pytest.approx(told)
    assert [event.step for event in events.Scalars("test/accuracy")] == [3]

    uri = next(line for line in err.splitlines() if line.startswith("Kept the model in MLflow: ")).split(": ", 1)[1]
    predictor = Predictor(*PredictorTask.of(artifact))
    channels, height, width = predictor.task.input_shape
    images = np.random.default_rng(0).integers(0, 256, (7, height, width, channels), np.uint8)
    mlflow.set_tracking_uri(store)
    try:
        assert np.array_equal(mlflow.pyfunc.load_model(uri).predict(images), predictor(images))
    finally:
        mlflow.set_tracking_uri(None)

    graph = tmp_path / "model.onnx"
    process = start("export", str(tmp_path / "model.zip"), "--output", str(graph))
    _, err = process.communicate()
    assert (process.returncode, err) == (0, f"Wrote the graph, verified for batches of 1, 2, 8: {graph}\n")
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"images": images})[0], predictor(images), atol=1e-5)


def test_a_run_that_is_interrupted(archive: str, tmp_path: Path, store: str) -> None:
    process = start("train", archive, *options(tmp_path, store, "--epochs", "100000"))
    assert process.stderr is not None
    assert any(line.startswith("epoch 1/") for line in process.stderr)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.endswith("Interrupted.\n")
    assert only_run(store).info.status == "KILLED"
