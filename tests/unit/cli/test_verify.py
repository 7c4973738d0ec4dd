"""`sparkweave verify` with a comparison that was made before."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Outcome
from tests.unit.training.test_verification import APART, FAR, NEAR, verification

import sparkweave
from sparkweave.cli.train import train
from sparkweave.cli.verify import verify
from sparkweave.distributed.network import Network
from sparkweave.errors import WorkerError
from sparkweave.spark import verification as module
from sparkweave.spark.trainer import Trainer
from sparkweave.strategies import GradientSharing, ParameterAveraging
from sparkweave.training.verification import Verification

Run = Callable[..., Outcome]


class Comparing:
    """Stands for `sparkweave.verify`: what it was asked, and what it finds."""

    def __init__(self) -> None:
        self.asked: list[tuple[Trainer, Any, int]] = []
        self.found: Verification | Exception = verification()

    def __call__(self, trainer: Trainer, frame: Any, *, steps: int, told: Callable[[str], None]) -> Verification:
        self.asked.append((trainer, frame, steps))
        told("Training")
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.fixture(autouse=True)
def comparing(monkeypatch: pytest.MonkeyPatch, calls: dict[str, Any]) -> Comparing:
    comparing = Comparing()
    monkeypatch.setattr(sparkweave, "Trainer", Trainer, raising=False)
    monkeypatch.setattr(module, "verify", comparing)
    return comparing


def names(command: Any) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts if name.startswith("-")}


def test_the_surface_of_the_command() -> None:
    assert names(verify) - names(train) == {"--steps"}
    assert names(train) - names(verify) == {
        "--checkpoint-dir", "--collect-training-stats", "--epochs", "--evaluate-every", "--labels", "--log-every", "--max-restarts",
        "--min-workers", "--mlflow", "--mlflow-experiment", "--ntp-server", "--output", "--overwrite", "--resume", "--staging", "--staging-dir", "--storage-level", "--test",
        "--tensorboard", "--time-source",
    }  # fmt: skip


def test_equal_results_end_well(run: Run, archive: str) -> None:
    outcome = run("verify", archive)
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"{verification()}\n"
    assert outcome.err == "Training\n"


def test_results_within_rounding_end_well(run: Run, archive: str, comparing: Comparing) -> None:
    comparing.found = verification(APART, NEAR)
    outcome = run("verify", archive)
    assert outcome.code == 0, outcome.err
    assert "the same within rounding" in outcome.out


def test_other_results_end_in_exit_code_5_with_what_to_look_at(run: Run, archive: str, comparing: Comparing) -> None:
    comparing.found = verification(APART, FAR)
    outcome = run("verify", archive)
    assert outcome.code == 5
    assert "DIFFERENT" in outcome.out
    assert "0.weight" in outcome.out
    assert outcome.err.splitlines()[-1].startswith("Error: the workers' weights are not those of one process")
    assert "`sparkweave doctor`" in outcome.err
    assert "Traceback" not in outcome.err


def test_json(run: Run, archive: str, comparing: Comparing) -> None:
    comparing.found = verification(APART, FAR)
    outcome = run("verify", archive, "--json")
    assert outcome.code == 5
    assert json.loads(outcome.out) == json.loads(json.dumps(comparing.found.to_dict()))


def test_options_reach_it_as_they_reach_a_training(run: Run, archive: str, comparing: Comparing) -> None:
    outcome = run(
        "verify", archive, "--steps", "7", "--strategy", "gradient-sharing", "--threshold", "0.01", "--network", "resnet", "--batch-size",
        "50", "--workers", "3", "--learning-rate", "0.01", "--seed", "4", "--optimizer", "sgd", "--optimizer-option", "momentum=0.9",
        "--subnet", "10.27.0.0/16", "--image-size", "28x30", "--channels", "1", "--max-bad-fraction", "0.1", "--master", "local[3]",
        "--conf", "spark.x=y", "--collective-timeout", "9", "--schedule", "cosine",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    ((trainer, frame, steps),) = comparing.asked
    config = trainer.options.config
    assert steps == 7
    assert frame == ("frame", (archive,), {"image_size": (28, 30), "channels": 1})
    assert trainer.options.strategy == GradientSharing(threshold=0.01)
    assert trainer.options.network["name"] == "resnet"
    assert trainer.options.interconnect == Network(subnet="10.27.0.0/16")
    assert (config.batch_size, config.workers, config.learning_rate, config.seed) == (50, 3, 0.01, 4)
    assert (config.optimizer, dict(config.optimizer_options), config.schedule) == ("sgd", {"momentum": 0.9}, "cosine")
    assert (config.max_bad_fraction, config.collective_timeout_seconds) == (0.1, 9.0)
    assert outcome.calls["session"] == {"master": "local[3]", "conf": {"spark.x": "y"}, "debug": False}


def test_defaults_are_those_of_train(run: Run, archive: str, comparing: Comparing) -> None:
    run("verify", archive)
    ((trainer, _, steps),) = comparing.asked
    assert steps == 20
    assert trainer.options.strategy == ParameterAveraging()
    assert trainer.options.config == Trainer().options.config
    defaults = {parameter.name: parameter.default for parameter in train.params}
    assert all(defaults.get(parameter.name, parameter.default) == parameter.default for parameter in verify.params)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--strategy", "all-reduce", "--compression", "powersgd"), 2, "compression is 'powersgd'.* Verify with --compression none"),
        (("--steps", "0"), 2, "Invalid value for '--steps'"),
        (("--threshold", "0.1"), 2, "--threshold is an option of the strategy gradient-sharing"),
        (("--network", "lenett"), 2, "network 'lenett' is unknown"),
    ],
    ids=["compression", "no step", "another strategy's option", "no network"],
)  # fmt: skip
def test_mistakes_are_told_before_spark_starts(
    run: Run, archive: str, arguments: tuple[str, ...], code: int, message: str
) -> None:
    outcome = run("verify", archive, *arguments)
    assert outcome.code == code
    assert re.search(message, outcome.err), outcome.err
    assert "session" not in outcome.calls


def test_missing_images(run: Run, tmp_path: Path, calls: dict[str, Any]) -> None:
    assert run("verify", str(tmp_path / "none.zip")).code == 3
    assert "session" not in calls


def test_a_worker_that_fails_is_told(run: Run, archive: str, comparing: Comparing) -> None:
    comparing.found = WorkerError("worker 1 on host-b: no luck")
    outcome = run("verify", archive)
    assert (outcome.code, outcome.err) == (5, "Training\nError: worker 1 on host-b: no luck\n")
