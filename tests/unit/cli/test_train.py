from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from tests.unit.cli.conftest import Outcome

from sparkweave.artifacts.checkpoint import CheckpointStore
from sparkweave.cli.train import train
from sparkweave.cli.training_options import STRATEGY_NAMES
from sparkweave.distributed.network import Network
from sparkweave.errors import ResourceError, WorkerError
from sparkweave.strategies import STRATEGIES, AllReduce, GradientSharing, ParameterAveraging

Run = Callable[..., Outcome]


def test_the_surface_of_the_command() -> None:
    names = {name for parameter in train.params for name in parameter.opts if name.startswith("-")}
    assert names == {
        "--apply-residual", "--exchange-frequency", "--augment", "--averaging-frequency", "--averaging-precision", "--batch-size", "--channels", "--checkpoint-dir",
        "--collect-training-stats", "--collective-timeout", "--compression", "--outer-learning-rate", "--outer-momentum",
        "--outer-optimizer", "--powersgd-rank", "--residual-clipping", "--staleness", "--target-sparsity", "--threshold",
        "--threshold-algorithm",
        "--conf", "--config", "--debug", "--epochs", "--evaluate-every", "--ignore-memory-plan", "--image-size", "--json", "--label-smoothing",
        "--labels", "--learning-rate", "--log-every", "--master", "--max-bad-fraction", "--max-restarts", "--min-workers", "--native-memory", "--network",
        "--optimizer", "--optimizer-option", "--output", "--overwrite", "--precision", "--prefetch", "--resume",
        "--save-optimizer", "--schedule", "--seed", "--staging", "--staging-dir", "--storage-level", "--strategy", "--test",
        "--workers", "--time-source", "--ntp-server", "--port", "--subnet", "--controller", "--transport", "--allow-plaintext",
        "--tensorboard", "--mlflow", "--mlflow-experiment",
    }  # fmt: skip


def test_every_strategy_can_be_chosen() -> None:
    assert set(STRATEGY_NAMES) == set(STRATEGIES)


@pytest.mark.parametrize(
    ("arguments", "strategy"),
    [
        (["--strategy", "gradient-sharing"], GradientSharing()),
        (
            ["--strategy", "gradient-sharing", "--threshold", "0.01", "--threshold-algorithm", "target-sparsity",
             "--target-sparsity", "0.002", "--residual-clipping", "0", "--staleness", "1"],
            GradientSharing(
                threshold=0.01, threshold_algorithm="target-sparsity", target_sparsity=0.002, residual_clipping=0, staleness=1
            ),
        ),
        (
            ["--averaging-frequency", "500", "--outer-optimizer", "nesterov", "--outer-learning-rate", "0.5",
             "--outer-momentum", "0.8", "--averaging-precision", "bfloat16"],
            ParameterAveraging(
                averaging_frequency=500, outer_optimizer="nesterov", outer_learning_rate=0.5, outer_momentum=0.8,
                averaging_precision="bfloat16",
            ),
        ),
        (["--strategy", "all-reduce", "--compression", "powersgd", "--powersgd-rank", "3"],
         AllReduce(compression="powersgd", powersgd_rank=3)),
    ],
    ids=str,
)  # fmt: skip
def test_a_strategys_options_reach_it(
    run: Run, archive: str, tmp_path: Path, arguments: list[str], strategy: object
) -> None:
    outcome = run("train", archive, "--output", str(tmp_path / "m"), *arguments)
    assert outcome.code == 0, outcome.err
    assert outcome.calls["trainer"]["strategy"] == strategy


def test_another_strategys_option_is_refused(run: Run, archive: str, tmp_path: Path) -> None:
    outcome = run("train", archive, "--output", str(tmp_path / "m"), "--threshold", "0.1")
    assert outcome.code == 2
    assert outcome.err == (
        "Error: --threshold is an option of the strategy gradient-sharing, and --strategy is parameter-averaging; "
        "leave it out, or train with --strategy gradient-sharing\n"
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--staging-dir", "there"), "--staging-dir is there, and --staging is direct"),
        (("--evaluate-every", "1"), "--evaluate-every is 1, and there is nothing to evaluate on"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    given: tuple[str, ...], said: str, run: Run, archive: str, tmp_path: Path
) -> None:
    for submitted in ((), ("submit", "--master", "local[2]", "--dry-run", "--")):
        outcome = run(*submitted, "train", archive, "--output", str(tmp_path / "m"), *given)
        assert (outcome.code, said in outcome.err) == (2, True)


def test_options_reach_the_trainer(run: Run, archive: str, tmp_path: Path) -> None:
    labels = tmp_path / "labels.yaml"
    labels.write_text("9: Ankle boot\n")
    outcome = run(
        "train", archive, "--test", archive, "--output", str(tmp_path / "model"), "--epochs", "3", "--batch-size", "50",
        "--workers", "2", "--network", "resnet", "--averaging-frequency", "7", "--no-save-optimizer", "--prefetch", "0",
        "--optimizer", "sgd", "--optimizer-option", "momentum=0.9", "--optimizer-option", "nesterov=true",
        "--learning-rate", "1e-2", "--seed", "4", "--master", "local[2]", "--conf", "spark.x=y", "--storage-level", "DISK_ONLY",
        "--max-bad-fraction", "0.1", "--labels", str(labels), "--image-size", "28x30", "--augment", "flip", "--augment", "crop:2",
        "--collective-timeout", "9", "--max-restarts", "1", "--evaluate-every", "1", "--schedule", "cosine", "--resume",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    trainer = outcome.calls["trainer"]
    config = trainer["config"]
    assert (config.epochs, config.batch_size, config.workers, config.prefetch) == (3, 50, 2, 0)
    assert (config.optimizer, dict(config.optimizer_options)) == ("sgd", {"momentum": 0.9, "nesterov": True})
    assert (config.learning_rate, config.schedule, config.seed) == (0.01, "cosine", 4)
    assert (config.augment, config.max_bad_fraction) == (("flip", "crop:2"), 0.1)
    assert (config.collective_timeout_seconds, config.max_restarts, config.evaluate_every) == (9.0, 1, 1)
    assert config.storage_level == "DISK_ONLY"
    assert trainer["network"] == "resnet"
    assert trainer["strategy"] == ParameterAveraging(averaging_frequency=7, save_optimizer=False)
    assert trainer["class_names"] == {"9": "Ankle boot"}
    assert trainer["resume"] is True
    assert trainer["checkpoint_dir"] == str(tmp_path / "model.checkpoints")
    assert outcome.calls["session"] == {"master": "local[2]", "conf": {"spark.x": "y"}, "debug": False}
    assert outcome.calls["fit"]["frame"] == ("frame", (archive,), {"image_size": (28, 30), "channels": None})
    assert outcome.calls["save"] == {"url": str(tmp_path / "model"), "save_optimizer": False, "overwrite": False}


def test_defaults_are_those_that_the_manual_names(run: Run, archive: str, tmp_path: Path) -> None:
    trainer = run("train", archive, "--output", str(tmp_path / "m.zip")).calls["trainer"]
    config = trainer["config"]
    assert (config.epochs, config.batch_size, config.workers, config.learning_rate) == (10, 100, None, 1e-3)
    assert trainer["strategy"] == ParameterAveraging(averaging_frequency=5, save_optimizer=True)
    assert trainer["checkpoint_dir"] == str(tmp_path / "m.checkpoints")


def test_memory_options_reach_the_trainer(run: Run, archive: str, tmp_path: Path) -> None:
    output = str(tmp_path / "m")
    config = run("train", archive, "--output", output, "--native-memory", "2g", "--ignore-memory-plan").calls[
        "trainer"
    ]["config"]
    assert (config.native_memory, config.ignore_memory_plan) == (2 << 30, True)
    config = run("train", archive, "--output", output).calls["trainer"]["config"]
    assert (config.native_memory, config.ignore_memory_plan) == (None, False)


def test_options_for_the_network_reach_the_trainer(run: Run, archive: str, tmp_path: Path) -> None:
    output = str(tmp_path / "m")
    asked = run(
        "train", archive, "--output", output, "--port", "47000-47100", "--subnet", "10.27.0.0/16", "--controller", "gate:47000",
        "--transport", "spark", "--allow-plaintext",
    ).calls["trainer"]["interconnect"]  # fmt: skip
    assert asked == Network(
        ports=(47000, 47100),
        subnet="10.27.0.0/16",
        controller="gate:47000",
        transport="spark",
        allow_plaintext=True,
    )
    assert run("train", archive, "--output", output).calls["trainer"]["interconnect"] == Network()


def test_options_for_the_network_can_stand_in_a_file(run: Run, archive: str, tmp_path: Path) -> None:
    file = tmp_path / "options.yaml"
    file.write_text("port: 47000\nsubnet: 10.27.0.0/16\ntransport: spark\nallow-plaintext: true\n")
    outcome = run("train", archive, "--output", str(tmp_path / "m"), "--config", str(file))
    expected = Network(ports=(47000, 47000), subnet="10.27.0.0/16", transport="spark", allow_plaintext=True)
    assert outcome.calls["trainer"]["interconnect"] == expected


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--port", "47100-47000", "the first must not be greater than the last"),
        ("--port", "http", "'http' is no range of ports"),
        ("--subnet", "10.27.0.0/40", "must be an IPv4 network such as 10.27.0.0/16"),
        ("--controller", "host:port", "must be HOST or HOST:PORT"),
        ("--transport", "mpi", "'mpi' is not one of"),
    ],
)
def test_options_for_the_network_are_checked_before_spark_starts(
    run: Run, archive: str, tmp_path: Path, option: str, value: str, words: str
) -> None:
    outcome = run("train", archive, "--output", str(tmp_path / "m"), option, value)
    assert outcome.code == 2
    assert words in outcome.err
    assert "session" not in outcome.calls


@pytest.mark.parametrize("size", ["0", "-1g", "2x", "1.5g", "", "lots"])
def test_a_size_that_is_none_is_refused(run: Run, archive: str, tmp_path: Path, size: str) -> None:
    outcome = run("train", archive, "--output", str(tmp_path / "m"), "--native-memory", size)
    assert outcome.code == 2
    assert "is not an amount of memory, such as 512m or 2g" in outcome.err


def test_all_reduce(run: Run, archive: str, tmp_path: Path) -> None:
    outcome = run("train", archive, "--output", str(tmp_path / "m"), "--strategy", "all-reduce")
    assert outcome.calls["trainer"]["strategy"] == AllReduce()


@pytest.mark.parametrize("named", [True, False])
def test_checkpoints_beside_the_model_go_when_it_is_saved(run: Run, archive: str, tmp_path: Path, named: bool) -> None:
    folder = tmp_path / "m.checkpoints"
    CheckpointStore(str(folder), fingerprint={}).save(1, {"state.json": b"{}"})
    arguments = ["--checkpoint-dir", str(folder)] if named else []
    assert run("train", archive, "--output", str(tmp_path / "m.zip"), *arguments).code == 0
    assert folder.exists() is named


def test_staged_images(run: Run, archive: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparkweave.spark.staging.staged", lambda spark, read, **options: (read(), options))
    outcome = run("train", archive, "--output", str(tmp_path / "m"), "--staging", "export", "--image-size", "28x28")
    frame, options = outcome.calls["fit"]["frame"]
    assert frame == ("frame", (archive,), {"image_size": (28, 28), "channels": None})
    assert options == {
        "paths": [archive],
        "options": {"image_size": (28, 28), "channels": None},
        "directory": str(tmp_path / "m.staged"),
    }


def test_what_a_person_sees(run: Run, archive: str, tmp_path: Path) -> None:
    outcome = run("train", archive, "--test", archive, "--output", str(tmp_path / "m"))
    assert "Training lenet (1,234 parameters) on 200 images of 2 classes: 2 workers" in outcome.err
    assert "Left out 3 images that can't be used:\n  a.zip!/1_1.png: broken\n  … and 2 more\n" in outcome.err
    assert "epoch 1/2: loss 0.5000, accuracy 0.7500, 12,346 images/s, ETA 0:01" in outcome.err
    assert "after epoch 2: accuracy 0.8000, loss 0.4000 on 50 test images" in outcome.err
    assert "Trained 2 epochs in 1:15" in outcome.err
    assert "Accuracy" in outcome.out
    assert "\x1b" not in outcome.out


def test_json_is_one_document_on_stdout(run: Run, archive: str, tmp_path: Path) -> None:
    document = json.loads(run("train", archive, "--test", archive, "--output", str(tmp_path / "m"), "--json").out)
    assert document["model"] == str(tmp_path / "m")
    assert document["evaluation"]["examples"] == 3
    assert document["history"][0]["event"] == "epoch"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "Invalid value for '--epochs': 0 is not in the range x>=1."),
        (["--batch-size", "-1"], "-1 is not in the range x>=1."),
        (["--workers", "0"], "0 is not in the range x>=1."),
        (["--workers", "two"], "'two' is not a valid integer"),
        (["--learning-rate", "nan"], "Invalid value for '--learning-rate': 'nan' is not a finite number."),
        (["--learning-rate", "0"], "it must be greater than 0."),
        (["--learning-rate", "inf"], "'inf' is not a finite number."),
        (["--max-bad-fraction", "1"], "it must be less than 1."),
        (["--max-bad-fraction", "-0.1"], "it must be at least 0."),
        (["--collective-timeout", "0"], "it must be greater than 0."),
        (["--image-size", "28"], "'28' is not a height and a width, such as 28x28."),
        (["--optimizer-option", "momentum"], "'momentum' is not of the form NAME=VALUE."),
        (
            ["--strategy", "allreduce"],
            "'allreduce' is not one of 'parameter-averaging', 'gradient-sharing', 'all-reduce'.",
        ),
        (["--epoch", "3"], "No such option"),
        (["--prefetch", "-1"], "-1 is not in the range x>=0."),
    ],
)
def test_bad_options_are_refused_before_spark_starts(
    run: Run, archive: str, tmp_path: Path, arguments: list[str], message: str
) -> None:
    outcome = run("train", archive, "--output", str(tmp_path / "m"), *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert "session" not in outcome.calls


def test_missing_archives_are_refused_before_spark_starts(run: Run, tmp_path: Path) -> None:
    outcome = run("train", str(tmp_path / "none.zip"), "--output", str(tmp_path / "m"))
    assert outcome.code == 3
    assert "none.zip: nothing is found here" in outcome.err
    assert "session" not in outcome.calls


def test_missing_test_archives_are_refused_before_spark_starts(run: Run, archive: str, tmp_path: Path) -> None:
    outcome = run("train", archive, "--test", str(tmp_path / "*.ZIP"), "--output", str(tmp_path / "m"))
    assert outcome.code == 3
    assert "session" not in outcome.calls


def test_an_output_that_exists_is_refused_before_spark_starts(run: Run, archive: str, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    outcome = run("train", archive, "--output", str(tmp_path / "m"))
    assert outcome.code == 6
    assert "already exists" in outcome.err
    assert "session" not in outcome.calls


def test_output_is_required(run: Run, archive: str) -> None:
    outcome = run("train", archive)
    assert outcome.code == 2
    assert "Missing option '--output'" in outcome.err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            ResourceError("needs 4 workers, this session has 2 slots"),
            4,
            "Error: needs 4 workers, this session has 2 slots\n",
        ),
        (WorkerError("worker 1 failed", rank=1, step=3), 5, "Error: worker 1 failed\n"),
        (ValueError("surprise"), 1, "Error: ValueError: surprise (--debug shows where)\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
        (click.Abort(), 130, "Interrupted.\n"),
    ],
)
def test_errors_become_exit_codes(
    run: Run, archive: str, tmp_path: Path, error: BaseException, code: int, message: str
) -> None:
    outcome = _failing(run, archive, tmp_path, error)
    assert outcome.code == code
    assert outcome.err.lstrip("\n") == message  # click ends the line of a terminal's ^C
    assert outcome.out == ""


def test_debug_shows_the_traceback(run: Run, archive: str, tmp_path: Path) -> None:
    outcome = _failing(run, archive, tmp_path, ValueError("surprise"), "--debug")
    assert "Traceback" in outcome.err
    assert outcome.calls["session"]["debug"] is True


def _failing(run: Run, archive: str, tmp_path: Path, error: BaseException, *more: str) -> Outcome:
    run("--version").calls["fail"] = error
    return run("train", archive, "--output", str(tmp_path / "m"), *more)
