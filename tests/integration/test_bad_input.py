"""What goes wrong in a user's hands: one clear message, the right exit code, and nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkweave.cli.main import run
from sparkweave.spark.model import TrainedModel
from sparkweave.testing.archives import HOSTILE_ARCHIVES, HOSTILE_ENTRIES, write_image_archive

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NETWORK = "layers:\n  - Flatten\n  - Linear: {out_features: classes}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "network.yaml").write_text(NETWORK)
    write_image_archive(folder / "good.zip", labels=("0", "1"), images_per_label=10, size=(8, 8))
    write_image_archive(folder / "wide.zip", labels=("0", "1"), images_per_label=10, size=(8, 12))
    write_image_archive(folder / "colour.zip", labels=("0", "1"), images_per_label=10, size=(8, 8), channels=3)
    write_image_archive(folder / "one.zip", labels=("0",), images_per_label=10, size=(8, 8))
    write_image_archive(folder / "few.zip", labels=("0", "1"), images_per_label=1, size=(8, 8))
    return folder


Train = Callable[..., tuple[int, str]]


@pytest.fixture
def train(spark: SparkSession, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Train:
    """Runs `sparkweave train` in this process; returns the exit code and what it wrote to standard error."""

    def run_train(*arguments: str) -> tuple[int, str]:
        given = ["--network", str(folder / "network.yaml"), "--epochs", "1", "--output", str(tmp_path / "model")]
        code = run(["train", *arguments, *given])
        return code, capsys.readouterr().err

    return run_train


@pytest.mark.parametrize("fault", HOSTILE_ARCHIVES)
def test_a_hostile_archive_is_refused(fault: str, train: Train, tmp_path: Path) -> None:
    HOSTILE_ARCHIVES[fault](str(tmp_path / "bad.zip"))
    code, message = train(str(tmp_path / "bad.zip"))
    assert code == 3
    assert message.startswith("Error: ")
    assert "bad.zip" in message
    assert not (tmp_path / "model").exists()


def test_a_missing_file_is_named(train: Train, tmp_path: Path) -> None:
    code, message = train(str(tmp_path / "no.zip"))
    assert code == 3
    assert "no.zip" in message


@pytest.mark.parametrize("fault", HOSTILE_ENTRIES)
def test_a_bad_entry_is_named_with_its_archive_and_rule(fault: str, train: Train, tmp_path: Path) -> None:
    HOSTILE_ENTRIES[fault](str(tmp_path / "bad.zip"))
    code, message = train(str(tmp_path / "bad.zip"), "--image-size", "28x28")
    assert code == 3, message
    assert "images can't be used" in message
    assert "bad.zip!/" in message
    assert "--max-bad-fraction" in message
    assert not (tmp_path / "model").exists()


def test_bad_entries_are_left_out_and_counted_on_request(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    HOSTILE_ENTRIES["wrong checksum"](str(tmp_path / "bad.zip"))
    code, message = train(str(tmp_path / "bad.zip"), "--image-size", "28x28", "--max-bad-fraction", "0.5")
    assert code == 0, message
    history = TrainedModel.load(str(tmp_path / "model")).history
    assert history[0]["bad_entries"] >= 1
    assert "Left out" in message
    assert run(["evaluate", str(tmp_path / "model"), str(tmp_path / "bad.zip"), "--max-bad-fraction", "0.5"]) == 0
    message = capsys.readouterr().err
    assert "Left out" in message
    assert "its checksum (CRC-32) is wrong" in message


@pytest.mark.parametrize(
    ("archives", "options", "code", "expected"),
    [
        (["good.zip", "wide.zip"], [], 3, "the images differ in size: 20 of 8x8 with 1 channel, 20 of 8x12"),
        (["good.zip", "colour.zip"], [], 3, "20 of 8x8 with 3 channels"),
        (["one.zip"], [], 3, "all 10 images have the label '0'; at least two classes are needed"),
        (["good.zip"], ["--workers", "3"], 4, "needs 3 workers, this session has 2 slots"),
        (["good.zip", "colour.zip"], ["--channels", "1", "--max-restarts", "0"], 0, ""),
        (["few.zip"], ["--workers", "2", "--batch-size", "1"], 0, ""),
        (["good.zip"], ["--epochs", "0"], 2, "--epochs"),
        (["good.zip"], ["--batch-size", "-5"], 2, "--batch-size"),
        (["good.zip"], ["--learning-rate", "nan"], 2, "--learning-rate"),
        (["good.zip"], ["--max-bad-fraction", "1.5"], 2, "--max-bad-fraction"),
        (["good.zip"], ["--optimizer", "adamm"], 2, "optimizer is 'adamm'"),
        (["good.zip"], ["--network", "lenett"], 2, "network 'lenett' is unknown"),
        (["good.zip"], ["--test", "wide.zip"], 3, "the test images are (channels, height, width) (1, 8, 12)"),
    ],
)
def test_what_can_not_be_trained_is_refused(
    archives: list[str], options: list[str], code: int, expected: str, spark: SparkSession, folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    inputs = [str(folder / name) for name in archives]
    options = [str(folder / option) if option.endswith(".zip") else option for option in options]
    given = ["--network", str(folder / "network.yaml"), "--epochs", "1", "--output", str(tmp_path / "model")]
    assert run(["train", *inputs, *given, *options]) == code
    message = capsys.readouterr().err
    assert expected in message
    assert "Traceback" not in message
    assert (tmp_path / "model").exists() == (code == 0)


def test_labels_must_name_every_class(train: Train, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.yaml").write_text("0: zero\n")
    code, message = train(str(folder / "good.zip"), "--labels", str(tmp_path / "labels.yaml"))
    assert code == 3
    assert "1 labels have no class name: '1'" in message


def test_more_workers_than_images(spark: SparkSession, folder: Path, train: Train, tmp_path: Path) -> None:
    write_image_archive(tmp_path / "single.zip", labels=("0",), images_per_label=1, size=(8, 8))
    code, message = train(str(tmp_path / "single.zip"))
    assert code == 3
    assert "at least two classes" in message


def test_an_option_that_the_file_does_not_know(train: Train, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "options.yaml").write_text("epochz: 3\n")
    code, message = train(str(folder / "good.zip"), "--config", str(tmp_path / "options.yaml"))
    assert code == 2
    assert "epochz" in message
    assert "epochs" in message


def test_an_output_that_exists_stays_unless_it_is_to_be_replaced(train: Train, folder: Path, tmp_path: Path) -> None:
    good = str(folder / "good.zip")
    assert train(good)[0] == 0
    before = (tmp_path / "model" / "manifest.json").read_bytes()
    code, message = train(good, "--seed", "1")
    assert code == 6
    assert "--overwrite" in message
    assert (tmp_path / "model" / "manifest.json").read_bytes() == before
    assert train(good, "--seed", "1", "--overwrite")[0] == 0
    assert (tmp_path / "model" / "manifest.json").read_bytes() != before


def test_a_model_with_a_changed_byte_is_refused(
    train: Train, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = str(folder / "good.zip")
    assert train(good)[0] == 0
    weights = tmp_path / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    for command in (["evaluate", str(tmp_path / "model"), good],
                    ["predict", str(tmp_path / "model"), good, "--output", str(tmp_path / "out.csv")]):  # fmt: skip
        assert run(command) == 6
        assert "model.safetensors was changed after it was written" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


def test_dynamic_allocation_is_refused_with_its_remedy(
    train: Train, folder: Path, monkeypatch: pytest.MonkeyPatch, spark: SparkSession
) -> None:
    conf = spark.sparkContext.getConf().set("spark.dynamicAllocation.enabled", "true")
    monkeypatch.setattr(type(spark.sparkContext), "getConf", lambda _: conf)
    code, message = train(str(folder / "good.zip"))
    assert code == 4
    assert "--conf spark.dynamicAllocation.enabled=false" in message
