"""The command as a process: its messages, its signals, its exit codes."""

from __future__ import annotations

import builtins
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Outcome
from tests.unit.serving.serving import Client, make_artifact, make_png

from sparkweave.serving.registry import Registry

Run = Callable[..., Outcome]
PNG = {"Content-Type": "image/png"}


@pytest.fixture
def model(tmp_path: Path) -> str:
    url = str(tmp_path / "digits.zip")
    make_artifact().save(url)
    return url


class Served:
    """A server in a process of its own."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        command = [sys.executable, "-m", "sparkweave", "serve", *arguments, "--port", "0"]
        variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        self.process = subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self.port = int(self.until(r"Serving .* at http://[^:]+:(\d+)/predict; the page is http://[^:]+:\d+/$"))

    def until(self, pattern: str) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if match := re.search(pattern, line.rstrip("\n")):
                return match[1] if match.groups() else match[0]
        pytest.fail(f"{pattern} was never said: {self.lines}")

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        assert self.process.stderr is not None
        self.lines += self.process.stderr.readlines()
        return self.process.wait(60)


@pytest.fixture
def start() -> Iterator[Callable[..., Served]]:
    started: list[Served] = []

    def start(*arguments: str, **environment: str) -> Served:
        started.append(Served(*arguments, **environment))
        return started[-1]

    yield start
    for served in started:
        served.process.kill()
        served.process.wait()
        assert served.process.stderr is not None
        served.process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_until_it_is_told_to_end(start: Callable[..., Served], model: str, number: int) -> None:
    served = start(model)
    client = Client(served.port)
    reply = client.ask("POST", "/predict", make_png(), PNG)
    assert (reply.status, reply.document["model"], reply.document["version"]) == (200, "digits", "1")
    assert served.end(number) == 0, served.lines
    assert served.lines[-1] == "Ending when all is answered.\n"
    assert "Traceback" not in "".join(served.lines)
    client.close()


def test_follows_a_registry(start: Callable[..., Served], tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "models"))
    registry.publish(make_artifact(0))
    served = start(str(tmp_path / "models"), "--poll-seconds", "0.1", "--name", "digits")
    (tmp_path / "models" / "000002.zip").write_bytes(b"\x1b[2Jnothing of use")
    served.until("version 000002 is refused")
    registry.publish(make_artifact(1))
    served.until("version 000003 is served")
    client = Client(served.port)
    assert client.ask("POST", "/predict", make_png(), PNG).document["version"] == "000003"
    client.close()
    assert served.end(signal.SIGTERM) == 0


def test_the_token_of_the_environment_is_asked_for(start: Callable[..., Served], model: str) -> None:
    served = start(model, "--host", "0.0.0.0", SPARKWEAVE_TOKEN="correct-horse-battery")
    client = Client(served.port)
    assert client.ask("GET", "/card").status == 401
    assert client.ask("GET", "/card", headers={"Authorization": "Bearer correct-horse-battery"}).status == 200
    client.close()
    assert served.end(signal.SIGTERM) == 0
    assert "correct-horse" not in "".join(served.lines)


def test_a_port_that_is_taken(run: Run, model: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        outcome = run("serve", model, "--port", str(taken.getsockname()[1]))
    assert outcome.code == 2
    assert "choose another port with --port" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.zip"], 6, "none.zip: nothing is here; give a saved model, or a registry"),
        (["MODEL", "--host", "0.0.0.0"], 2, "there is no token; give one in --token-file"),
        (["MODEL", "--host", "no.such.host.invalid"], 2, "is not known here"),
        (["MODEL", "--name", "a/b"], 2, "a model can't be called 'a/b'"),
        (["MODEL", "--token-file", "none"], 2, "can't be read"),
        (["MODEL", "--poll-seconds", "nan"], 2, "not a finite number"),
        (["s3a://bucket/models"], 6, "models are served from the local disk and from hdfs://"),
    ],
)
def test_what_can_t_be_served_is_said(
    run: Run, model: str, arguments: list[str], code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPARKWEAVE_TOKEN", raising=False)
    outcome = run("serve", *(model if argument == "MODEL" else argument for argument in arguments), "--port", "0")
    assert outcome.code == code, outcome.err
    assert message in outcome.err


def test_what_is_not_installed_is_named(run: Run, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def without_uvicorn(name: str, *rest: Any) -> Any:
        if name == "uvicorn":
            raise ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn")
        return load(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_uvicorn)
    outcome = run("serve", model)
    assert outcome.code == 2
    assert "pip install 'sparkweave[serve]'" in outcome.err
