"""The command line with a trainer, a model and a session that only remember what they were asked."""

from __future__ import annotations

import contextlib
import dataclasses
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sparkweave
from sparkweave.cli import main
from sparkweave.events import EpochEnded, Evaluated, RunEnded, RunStarted, to_record
from sparkweave.metrics.evaluation import Evaluation

STARTED = RunStarted(
    examples=200,
    classes=2,
    workers=2,
    epochs=2,
    first_epoch=1,
    steps_per_epoch=10,
    parameters=1234,
    strategy="parameter-averaging",
    network="lenet",
    bad_entries=3,
    bad_reasons=("a.zip!/1_1.png: broken",),
)
EPOCH = EpochEnded(
    epoch=1,
    epochs=2,
    loss=0.5,
    accuracy=0.75,
    examples=200,
    images_per_second=12345.6,
    seconds=1.0,
    data_seconds=0.1,
    compute_seconds=0.8,
    communication_seconds=0.1,
    bytes_sent=1000,
    learning_rate=0.001,
)
EVALUATED = Evaluated(epoch=2, accuracy=0.8, loss=0.4, examples=50, seconds=0.5)
ENDED = RunEnded(epochs=2, seconds=75, examples=400, images_per_second=12000)


def evaluation() -> Evaluation:
    result = Evaluation(["cat", "d\x1b[2Jog"])
    result.left_out, result.left_out_reasons = 2, ("b.zip!/1_1.png: broken", "b.zip!/1_2.png: broken")
    result.update(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]))
    return result


class FakeModel:
    labels = ("cat", "dog")
    image_shape = (1, 28, 30)
    history = (to_record(EPOCH), to_record(EVALUATED))

    def __init__(self, calls: dict[str, Any]) -> None:
        self.calls = calls
        self.evaluation = evaluation()

    def evaluate(self, frame: Any, **options: Any) -> Evaluation:
        self.calls["evaluate"] = {"frame": frame, **options}
        return self.evaluation

    def save(self, url: str, **options: Any) -> None:
        self.calls["save"] = {"url": url, **options}


@dataclasses.dataclass
class Outcome:
    """What a command did: its exit code, its streams, and the calls that reached the library."""

    code: int
    out: str
    err: str
    calls: dict[str, Any]


@pytest.fixture
def archive(tmp_path: Path) -> str:
    path = tmp_path / "train.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("9_1.png", b"")
    return str(path)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    calls: dict[str, Any] = {}

    class FakeTrainer:
        def __init__(self, **options: Any) -> None:
            calls["trainer"] = options

        def fit(self, frame: Any, test: Any = None) -> FakeModel:
            calls["fit"] = {"frame": frame, "test": test}
            if "fail" in calls:
                raise calls["fail"]
            for callback in calls["trainer"]["callbacks"]:
                callback.on_run_start(STARTED)
                callback.on_epoch_end(EPOCH)
                callback.on_evaluation(EVALUATED)
                callback.on_run_end(ENDED)
            return FakeModel(calls)

    class FakeTrainedModel:
        @staticmethod
        def load(url: str, **options: Any) -> FakeModel:
            calls["load"] = {"url": url, **options}
            return FakeModel(calls)

    @contextlib.contextmanager
    def session(master: str | None, conf: Any, *, debug: bool) -> Iterator[str]:
        calls["session"] = {"master": master, "conf": dict(conf), "debug": debug}
        yield "session"

    def read(spark: Any, paths: list[str], **options: Any) -> tuple[Any, ...]:
        return ("frame", tuple(paths), options)

    for name, fake in {"Trainer": FakeTrainer, "TrainedModel": FakeTrainedModel, "read_image_archives": read}.items():
        monkeypatch.setattr(sparkweave, name, fake, raising=False)
    for command in ("train", "evaluate", "predict", "export", "report", "verify", "doctor"):
        monkeypatch.setattr(f"sparkweave.cli.{command}.spark_session", session)
    return calls


@pytest.fixture
def run(calls: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    def run(*arguments: str) -> Outcome:
        code = main.run(arguments)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err, calls)

    return run
