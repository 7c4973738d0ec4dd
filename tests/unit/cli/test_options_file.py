from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Outcome

Run = Callable[..., Outcome]


def write(path: Path, text: str) -> str:
    file = path / "run.yaml"
    file.write_text(text)
    return str(file)


def test_every_option_can_stand_in_the_file(run: Run, archive: str, tmp_path: Path) -> None:
    config = write(
        tmp_path,
        f"""
        train: [{archive}]
        test: {archive}
        output: {tmp_path / "m"}
        epochs: 3
        learning-rate: 1e-2
        save_optimizer: false
        optimizer: sgd
        optimizer-option: {{momentum: 0.9}}
        augment: [flip, "crop:2"]
        image-size: 28x28
        conf: {{spark.a: 1}}
        json: true
        """.replace("json: true", ""),
    )
    outcome = run("train", "--config", config)
    assert outcome.code == 0, outcome.err
    trainer = outcome.calls["trainer"]
    assert (trainer["config"].epochs, trainer["config"].learning_rate) == (3, 0.01)
    assert dict(trainer["config"].optimizer_options) == {"momentum": 0.9}
    assert trainer["config"].augment == ("flip", "crop:2")
    assert trainer["strategy"].save_optimizer is False
    assert outcome.calls["fit"]["frame"] == ("frame", (archive,), {"image_size": (28, 28), "channels": None})
    assert outcome.calls["fit"]["test"] == ("frame", (archive,), {"image_size": (28, 28), "channels": None})
    assert outcome.calls["session"]["conf"] == {"spark.a": "1"}


def test_flags_win(run: Run, archive: str, tmp_path: Path) -> None:
    config = write(
        tmp_path, f"train: [nothing.zip]\noutput: {tmp_path / 'm'}\nepochs: 3\nbatch-size: 7\nsave-optimizer: false\n"
    )
    outcome = run("train", archive, "--config", config, "--epochs", "5", "--save-optimizer")
    assert outcome.code == 0, outcome.err
    trainer = outcome.calls["trainer"]
    assert (trainer["config"].epochs, trainer["config"].batch_size) == (5, 7)
    assert trainer["strategy"].save_optimizer is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch: 3", "has an unknown option 'epoch'; did you mean 'epochs'?"),
        ("bacth_size: 3", "did you mean 'batch-size' or 'image-size'?"),
        ("zzz: 3", "has an unknown option 'zzz'; the options are allow-plaintext, apply-residual, augment"),
        ("config: other.yaml", "has an unknown option 'config'"),
        ("- 3", "holds a list; it must be a mapping"),
        ("epochs: 2.5", "'2.5' is not a valid integer"),
        ("epochs: true", "'true' is not a valid integer"),
        ("epochs: 0", "0 is not in the range x>=1"),
        ("epochs: [1, 2]", "epochs holds a list; one value is expected"),
        ("epochs:", "epochs holds nothing; one value is expected"),
        ("learning-rate: .nan", "'nan' is not a finite number"),
        ("save-optimizer: 1", "save-optimizer is 1; it must be true or false"),
        ("epochs: 1\nepochs: 2", "comes twice"),
        ("epochs: [", "is not valid YAML"),
    ],
)
def test_bad_files_are_refused(run: Run, archive: str, tmp_path: Path, text: str, message: str) -> None:
    outcome = run("train", archive, "--output", str(tmp_path / "m"), "--config", write(tmp_path, text))
    assert outcome.code == 2
    assert message in outcome.err
    assert "session" not in outcome.calls


def test_a_missing_file(run: Run, archive: str, tmp_path: Path) -> None:
    outcome = run("train", archive, "--output", str(tmp_path / "m"), "--config", str(tmp_path / "none.yaml"))
    assert outcome.code == 2
    assert "none.yaml" in outcome.err


def test_an_empty_file_says_nothing(run: Run, archive: str, tmp_path: Path) -> None:
    assert run("train", archive, "--output", str(tmp_path / "m"), "--config", write(tmp_path, "")).code == 0


def test_other_commands_take_a_file_too(run: Run, archive: str, tmp_path: Path) -> None:
    outcome = run("evaluate", "--config", write(tmp_path, f"model: m\ntest: [{archive}]\nallow-code: true\n"))
    assert outcome.code == 0, outcome.err
    assert outcome.calls["load"] == {"url": "m", "allow_code": True}
