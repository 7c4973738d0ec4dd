from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.unit.cli.conftest import FakeModel, Outcome
from tests.unit.export.models import image_model

from sparkweave.errors import WorkerError

Run = Callable[..., Outcome]

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:mlflow.*")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setattr(FakeModel, "artifact", image_model(), raising=False)
    return f"file://{tmp_path}/mlflow"


def runs(store: str, experiment: str = "Default") -> list[Any]:
    client = mlflow.MlflowClient(store)
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id])) if found else []


def test_a_training_is_told_to_both(run: Run, archive: str, tmp_path: Path, store: str) -> None:
    outcome = run(
        "train", archive, "--output", str(tmp_path / "m"), "--batch-size", "50", "--averaging-frequency", "7",
        "--tensorboard", str(tmp_path / "events"), "--mlflow", store, "--mlflow-experiment", "digits",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    (found,) = runs(store, "digits")
    assert found.info.status == "FINISHED"
    assert found.data.params["batch_size"] == "50"
    assert found.data.params["strategy.averaging_frequency"] == "7"
    assert found.data.metrics["train/loss"] == 0.5
    assert found.data.metrics["test/accuracy"] == 0.8
    assert "Kept the model in MLflow: models:/" in outcome.err
    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(1, 0.5)]


def test_a_training_that_fails_is_a_failed_run(
    run: Run, archive: str, tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(*_: object, **__: object) -> None:
        raise WorkerError("lost")

    monkeypatch.setattr(FakeModel, "save", save)
    outcome = run("train", archive, "--output", str(tmp_path / "m"), "--mlflow", store)
    assert outcome.code == 5
    assert [found.info.status for found in runs(store)] == ["FAILED"]


def test_without_the_options_there_is_no_logger(run: Run, archive: str, tmp_path: Path) -> None:
    outcome = run("train", archive, "--output", str(tmp_path / "m"))
    assert len(outcome.calls["trainer"]["callbacks"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mlflow-experiment", "digits"], "say where MLflow is (--mlflow URI)"),
        (["--mlflow", "ftp://nowhere"], "MLflow at ftp://nowhere can't be used"),
        (["--tensorboard", "hdfs://nn/runs"], "give one on this machine's disk"),
    ],
)
def test_what_cannot_be_is_refused_before_spark_starts(
    run: Run, archive: str, tmp_path: Path, store: str, arguments: list[str], message: str
) -> None:
    outcome = run("train", archive, "--output", str(tmp_path / "m"), *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert "session" not in outcome.calls


@pytest.mark.parametrize(("option", "extra"), [("--mlflow", "mlflow"), ("--tensorboard", "tensorboard")])
def test_a_missing_extra_is_named_before_spark_starts(
    run: Run, archive: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, extra: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    outcome = run("train", archive, "--output", str(tmp_path / "m"), option, "somewhere")
    assert outcome.code == 2
    assert f"pip install 'sparkweave[{extra}]'" in outcome.err
    assert "session" not in outcome.calls
