"""What `sparkweave stream` refuses before Spark starts: no session is made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.inference.test_predictor import make_artifact

from sparkweave.cli import main
from sparkweave.cli import stream as command
from sparkweave.testing.ports import free_ports


@pytest.fixture
def stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def no_session(*_arguments: Any, **_options: Any) -> Any:
        raise AssertionError("Spark must not be started")

    monkeypatch.setattr(command, "spark_session", no_session)
    (tmp_path / "in").mkdir()
    make_artifact().save(str(tmp_path / "model.zip"))

    def run(**changes: str) -> tuple[int, str]:
        known = {name: str(tmp_path / name) for name in ("output", "checkpoint")}
        options = {"source": "files", "input": str(tmp_path / "in"), **known, **changes}
        model = options.pop("model", str(tmp_path / "model.zip"))
        code = main.run(["stream", model, *(part for name, value in options.items() for part in (f"--{name}", value))])
        return code, capsys.readouterr().err

    return run


def test_no_such_model(stream: Callable[..., Any]) -> None:
    code, said = stream(model="/nowhere/model.zip")
    assert code == 6
    assert "/nowhere/model.zip: there is no usable model" in said


def test_no_such_folder(stream: Callable[..., Any]) -> None:
    code, said = stream(input="/nowhere/in")
    assert (code, said) == (3, "Error: /nowhere/in is no folder; make it, and move images or ZIP archives there\n")


@pytest.mark.parametrize("name", ["output", "checkpoint"])
def test_nothing_is_written_in_the_input(stream: Callable[..., Any], tmp_path: Path, name: str) -> None:
    code, said = stream(**{name: str(tmp_path / "in" / "below")})
    assert code == 2
    assert said.startswith(f"Error: {name} is {tmp_path}/in/below, and the input {tmp_path}/in holds it")


@pytest.mark.parametrize("changes", [{"source": "kafka"}, {"input": "kafka://127.0.0.1:1/topic"}])
def test_source_and_input_agree(stream: Callable[..., Any], changes: dict[str, str]) -> None:
    code, said = stream(**changes)
    assert code == 2
    assert "--source is" in said


def test_a_topic_has_a_form(stream: Callable[..., Any]) -> None:
    code, said = stream(output="kafka://host/topic")
    assert code == 2
    assert "is not of the form kafka://HOST:PORT/TOPIC" in said


def test_a_broker_that_does_not_answer(stream: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparkweave.spark.streaming.kafka_address._TIMEOUT_SECONDS", 1.0)
    (port,) = free_ports(1)
    code, said = stream(output=f"kafka://127.0.0.1:{port}/topic")
    assert code == 4
    assert f"no Kafka broker answered at 127.0.0.1:{port} within 1 s" in said


def test_a_setting_that_kafka_does_not_know(stream: Callable[..., Any]) -> None:
    code, said = stream(output="kafka://127.0.0.1:1/topic", **{"kafka-option": "no.such=1"})
    assert code == 2
    assert 'No such configuration property: "no.such"' in said
