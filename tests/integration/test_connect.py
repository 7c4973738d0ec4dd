"""The estimators over Spark Connect: a server and a client in processes of their own, since a process is either one or the other."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pyspark.sql import SparkSession
from tests.integration import connect_client, connect_server

from sparkweave import TorchClassifier

pytest.importorskip("grpc_status", reason="needs the extra connect")

pytestmark = pytest.mark.timeout(600)


@contextmanager
def server(environment: dict[str, str]) -> Iterator[str]:
    """The URL of a server that runs while the context lasts."""
    command = [sys.executable, connect_server.__file__]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            port = process.stdout.readline().strip()
            assert port.isdecimal(), port
            yield f"sc://localhost:{port}"
        finally:
            process.stdin.close()
            process.wait(60)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the client found, by check."""
    folder = tmp_path_factory.mktemp("connect")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYSPARK_GATEWAY")}
    environment.setdefault("PYSPARK_PYTHON", sys.executable)
    environment["SPARK_CONNECT_AUTHENTICATE_TOKEN"] = secrets.token_hex(16)
    output = folder / "found.json"
    with server(environment) as url:
        command = [sys.executable, connect_client.__file__, url, str(folder), str(output)]
        subprocess.run(command, env=environment, check=True, timeout=500)
    return json.loads(output.read_text())


def refused(found: Any, check: str) -> tuple[str, str]:
    return found[check]["error"], found[check]["message"]


def test_the_client_has_no_jvm(found: Any) -> None:
    assert found["no_jvm"] == {"context": True, "gateway": True}


def test_a_pipeline_is_fitted_to_the_same_bits_as_beside_the_driver(found: Any, spark: SparkSession) -> None:
    assert "error" not in found["fit"], found["fit"]
    assert len(found["fit"]["losses"]) == connect_client.FAST["epochs"]
    beside = TorchClassifier(**connect_client.FAST).fit(connect_client.table(spark))
    assert found["fit"]["weights"] == connect_client.weights(beside.trained)


def test_it_predicts_and_sparks_evaluators_take_it(found: Any) -> None:
    columns = ["features", "x0", "x1", "label", "both", "prediction", "probability", "rawPrediction"]
    rows = connect_client.ROWS
    assert found["transform"] == {"columns": columns, "rows": rows, "agree": rows}
    evaluated = found["evaluate"]
    assert evaluated["accuracy"] > 0.9
    assert evaluated["log_loss"] < 0.5
    assert evaluated["own_accuracy"] == pytest.approx(evaluated["accuracy"])


def test_models_estimators_and_pipelines_are_saved_and_loaded(found: Any) -> None:
    epochs = connect_client.FAST["epochs"]
    assert found["save_and_load"] == {"same": True, "epochs": epochs, "alone": True, "plain": True, "estimator": 9}


def test_an_overwrite_that_is_refused_deletes_nothing(found: Any) -> None:
    assert found["refused_overwrites"]["refused"][:2] == ["ArtifactError"] * 2
    assert len(found["refused_overwrites"]["refused"]) == 3
    assert not found["refused_overwrites"]["deleted"]


def test_images_train_a_regressor_with_validation_rows_and_checkpoints(found: Any) -> None:
    assert found["images"] == {"shape": [1, 6, 6], "checkpoint": 2, "validated": 2, "predicted": 24}


def test_a_workers_own_report_comes_back(found: Any) -> None:
    error, message = refused(found, "a_loss_that_is_not_finite")
    assert error == "WorkerError"
    assert message.startswith("worker ")
    assert "in step " in message


@pytest.mark.parametrize(
    ("check", "error", "message"),
    [
        ("too_many_workers", "ResourceError", "needs 3 workers, this session has 2 slots"),
        (
            "unknown_slots",
            "ResourceError",
            "Spark Connect does not tell how many tasks this server's cluster runs at once",
        ),
        ("unknown_slots_too_few", "WorkerError", "the server's cluster does not run 3 tasks at once"),
        ("too_large", "ResourceError", "over Spark Connect at most 100 go to the workers"),
        ("save_to_hdfs", "ArtifactError", "where the server and this program see the same disk"),
        ("save_in_a_relative_folder", "ArtifactError", "give the full path of a folder there"),
        ("load_from_hdfs", "ArtifactError", "where the server and this program see the same disk"),
        ("checkpoints_on_hdfs", "ArtifactError", "give a path on the local disk"),
        ("archives", "ResourceError", "read_image_archives can't be done over Spark Connect"),
    ],
)
def test_what_cannot_be_done_says_so(found: Any, check: str, error: str, message: str) -> None:
    kind, text = refused(found, check)
    assert kind == error, text
    assert message in text
