"""Runs in MLflow, read back by its own client."""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
from typing import Any

import mlflow
import numpy as np
import pytest
from tests.unit.export.models import image_model
from tests.unit.export.runs import ENDED, epoch, evaluated, restarted, started

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.errors import ArtifactError, ConfigError, WorkerError
from sparkweave.events import Event
from sparkweave.export import mlflow_logger
from sparkweave.export.mlflow_logger import MLflowLogger
from sparkweave.export.onnx import example_inputs
from sparkweave.inference.predictor import Predictor
from sparkweave.inference.task import PredictorTask
from sparkweave.testing.ports import free_ports
from sparkweave.training.callbacks import dispatch

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:mlflow.*")


@dataclasses.dataclass
class Model:
    artifact: ModelArtifact


def tell(logger: MLflowLogger, *events: Event) -> None:
    for event in events:
        dispatch([logger], event)


def run_of(store: str, logger: MLflowLogger) -> Any:
    assert logger._outbox.wait(60)
    assert logger.run_id is not None
    return mlflow.MlflowClient(store).get_run(logger.run_id)


def test_parameters_and_figures_are_kept(store: str) -> None:
    with MLflowLogger(store, "digits", "first", parameters={"batch_size": 50, "long": "x" * 9000}) as logger:
        tell(logger, started(), epoch(1), epoch(2), evaluated(2), ENDED)
    run = run_of(store, logger)
    assert run.info.run_name == "first"
    assert mlflow.MlflowClient(store).get_experiment(run.info.experiment_id).name == "digits"
    assert run.data.params["batch_size"] == "50"
    assert run.data.params["network"] == "lenet"
    assert len(run.data.params["long"]) == 500
    history = mlflow.MlflowClient(store).get_metric_history(logger.run_id, "train/loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 1.0), (2, 0.5)]
    assert run.data.metrics["test/loss"] == 0.4
    assert "test/accuracy" not in run.data.metrics, "it is not a number"
    assert {"train/accuracy", "train/images_per_second", "train/learning_rate"} <= set(run.data.metrics)


def test_more_parameters_than_one_call_takes(store: str) -> None:
    with MLflowLogger(store, parameters={f"p{number}": number for number in range(230)}) as logger:
        tell(logger, started())
    assert run_of(store, logger).data.params["p229"] == "229"


def test_the_experiment_is_found_again(store: str) -> None:
    loggers = [MLflowLogger(store, "digits") for _ in range(2)]
    for logger in loggers:
        tell(logger, started(), ENDED)
    assert len({run_of(store, logger).info.experiment_id for logger in loggers}) == 1


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (WorkerError("lost"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_the_run_ends_as_the_training_did(store: str, error: BaseException | None, status: str) -> None:
    logger = MLflowLogger(store)

    def train() -> None:
        with logger:
            tell(logger, started(), epoch(1), restarted(1))
            assert run_of(store, logger).info.status == "RUNNING"
            if error is not None:
                raise error
            tell(logger, ENDED)
            assert run_of(store, logger).info.status == "RUNNING", "the model may be logged yet"

    if error is None:
        train()
    else:
        with pytest.raises(type(error)):
            train()
    assert run_of(store, logger).info.status == status


def test_without_a_context_the_run_ends_with_the_training(store: str) -> None:
    logger = MLflowLogger(store)
    tell(logger, started(), ENDED)
    assert run_of(store, logger).info.status == "FINISHED"


def test_a_training_that_never_started_leaves_no_run(store: str) -> None:
    with pytest.raises(WorkerError), MLflowLogger(store) as logger:
        raise WorkerError("no images")
    assert logger.run_id is None


def test_the_model_is_kept_with_the_run_and_predicts(store: str) -> None:
    artifact = image_model()
    with MLflowLogger(store) as logger:
        tell(logger, started(), ENDED)
        before = mlflow.get_tracking_uri()
        uri = logger.log_model(Model(artifact))
        assert mlflow.get_tracking_uri() == before
    mlflow.set_tracking_uri(store)
    try:
        loaded = mlflow.pyfunc.load_model(uri)
    finally:
        mlflow.set_tracking_uri(before)
    predictor = Predictor(*PredictorTask.of(artifact))
    images = example_inputs(predictor.task, 5)
    assert np.array_equal(loaded.predict(images), predictor(images))
    assert loaded.metadata.run_id == logger.run_id


def gone(*_: object, **__: object) -> None:
    raise ConnectionError("refused")


def test_a_model_that_is_not_taken_is_an_error(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with MLflowLogger(store) as logger:
        tell(logger, started(), ENDED)
        monkeypatch.setattr("mlflow.models.Model.log", gone)
        with pytest.raises(ArtifactError, match="did not take the model: refused; it can be logged again"):
            logger.log_model(Model(image_model()))
    assert run_of(store, logger).info.status == "FINISHED"


def test_a_server_that_is_gone_does_not_end_the_training(
    store: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), MLflowLogger(store) as logger:
        tell(logger, started())
        monkeypatch.setattr(mlflow.MlflowClient, "log_batch", gone)
        tell(logger, epoch(1), ENDED)
    assert "MLflow was not told: refused" in caplog.text
    assert run_of(store, logger).info.status == "FINISHED"


class Silent:
    """Takes the place of a client's method: no answer before `answering` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
        self.answering = threading.Event()
        original = getattr(mlflow.MlflowClient, method)

        def silent(*arguments: Any, **options: Any) -> Any:
            self.answering.wait()
            return original(*arguments, **options)

        monkeypatch.setattr(mlflow.MlflowClient, method, silent)
        monkeypatch.setattr(mlflow_logger, "_PATIENCE_SECONDS", 0.1)


def test_a_server_that_does_not_answer_holds_nobody_up_and_is_told_when_it_does(
    store: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with MLflowLogger(store) as logger:
        tell(logger, started())
        server = Silent(monkeypatch, "log_batch")
        tell(logger, epoch(1), evaluated(1), epoch(2), ENDED)
    assert f"MLflow at {store} does not answer; this goes on without it" in caplog.text
    server.answering.set()
    assert logger._outbox.wait(60)
    run = run_of(store, logger)
    history = mlflow.MlflowClient(store).get_metric_history(logger.run_id, "train/loss")
    assert [metric.step for metric in history] == [1, 2]
    assert run.data.metrics["test/loss"] == 0.4
    assert run.info.status == "FINISHED"


def test_a_server_that_is_gone_when_the_training_starts_gets_its_run_later(
    store: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = Silent(monkeypatch, "create_run")
    with MLflowLogger(store) as logger:
        tell(logger, started())
        assert logger.run_id is None
        server.answering.set()
        tell(logger, epoch(1), ENDED)
        assert logger._outbox.wait(60)
    run = run_of(store, logger)
    assert run.data.params["network"] == "lenet"
    assert run.data.metrics["train/loss"] == 1.0


def test_a_run_that_could_not_be_made_is_made_by_the_next_call(
    store: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with MLflowLogger(store) as logger:
        with monkeypatch.context() as patched:
            patched.setattr(mlflow.MlflowClient, "create_run", gone)
            tell(logger, started())
        tell(logger, epoch(1), ENDED)
    assert "MLflow was not told: refused" in caplog.text
    assert run_of(store, logger).data.metrics["train/loss"] == 1.0


def test_the_model_is_tried_although_something_waits_yet(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_logger, "_PATIENCE_SECONDS", 0.1)
    with MLflowLogger(store) as logger:
        tell(logger, started())
        answering = threading.Event()
        logger._outbox.put(answering.wait)
        tell(logger, epoch(1), ENDED)
        uri = logger.log_model(Model(image_model()))
        answering.set()
    assert uri.startswith("models:/")


def test_a_model_is_not_offered_for_long_to_a_server_that_is_gone(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "9")
    tried: list[dict[str, str]] = []

    def gone_in_time(*_: object) -> None:
        tried.append({name: value for name, value in os.environ.items() if name.startswith("MLFLOW_HTTP_REQUEST_")})
        raise ConnectionError("refused")

    with MLflowLogger(store) as logger:
        tell(logger, started(), ENDED)
        monkeypatch.setattr(mlflow.MlflowClient, "get_experiment", gone_in_time)
        with pytest.raises(ArtifactError, match="did not take the model: refused"):
            logger.log_model(Model(image_model()))
    assert tried == [{"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "9"}], (
        "the user's own stands"
    )
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


@pytest.mark.timeout(60)
def test_no_server_at_all_is_found_out_in_seconds() -> None:
    (port,) = free_ports(1)
    with pytest.raises(ConfigError, match=rf"MLflow at http://127.0.0.1:{port} can't be used"):
        MLflowLogger(f"http://127.0.0.1:{port}")


def test_a_uri_that_is_none_is_refused_before_the_training(store: str) -> None:
    with pytest.raises(
        ConfigError, match=r"MLflow at ftp://nowhere can't be used: .*Give the URI of a tracking server"
    ):
        MLflowLogger("ftp://nowhere")


def test_a_missing_extra_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'sparkweave\[mlflow\]'"):
        MLflowLogger()
