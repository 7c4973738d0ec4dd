"""Whether workers learn what one process learns, on `local[2]`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sparkweave.cli import main
from sparkweave.config import TrainingConfig
from sparkweave.data.shard import Shard
from sparkweave.errors import ConfigError, TrainingError
from sparkweave.spark import verification
from sparkweave.spark.archives import read_image_archives
from sparkweave.spark.trainer import Trainer
from sparkweave.spark.verification import verify
from sparkweave.strategies import AllReduce, GradientSharing, ParameterAveraging, Strategy
from sparkweave.testing.archives import write_image_archive
from sparkweave.training.one_process import train_in_one_process
from sparkweave.training.state import TrainingState

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

NETWORK = {
    "layers": [
        {"Conv2d": {"out_channels": 4, "kernel_size": 3}},
        "ReLU",
        "Flatten",
        {"Dropout": {"p": 0.5}},
        {"Linear": {"out_features": "classes"}},
    ]
}
CONFIG = TrainingConfig(batch_size=10, workers=2, learning_rate=0.01, schedule="cosine")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("verify") / "train.zip"
    write_image_archive(path, labels=("0", "1", "2"), images_per_label=60, size=(8, 8))
    return path


@pytest.fixture
def images(spark: SparkSession, archive: Path) -> DataFrame:
    return read_image_archives(spark, str(archive))


@pytest.fixture
def mislabelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process learns other labels than the workers."""
    collected = verification.collected

    def other(*arguments: Any) -> Shard:
        shard = collected(*arguments)
        return dataclasses.replace(shard, targets=(shard.targets + 1) % 3)

    monkeypatch.setattr(verification, "collected", other)


@pytest.mark.parametrize(
    "strategy", [ParameterAveraging(averaging_frequency=2), AllReduce(), GradientSharing()], ids=lambda s: s.name
)
def test_workers_learn_what_one_process_learns(images: DataFrame, strategy: Strategy) -> None:
    told: list[str] = []
    found = verify(Trainer(NETWORK, strategy=strategy, config=CONFIG), images, steps=4, told=told.append)
    assert found.verdict == "identical", str(found)
    assert (found.images, found.workers, found.steps, found.dropout) == (80, 2, 4, 1)
    assert found.strategy == strategy.name
    assert found.loss == found.loss_in_one_process
    assert told[1] == "Training 4 steps on 80 images with 2 workers"
    if isinstance(strategy, AllReduce):  # with gradients averaged, workers are one with larger batches
        assert found.distance_to_alone == pytest.approx(0, abs=1e-4)
        assert found.loss_alone == pytest.approx(found.loss, abs=1e-5)


def test_fewer_images_make_fewer_steps_and_other_results_are_called_different_and_end_in_exit_code_5(
    spark: SparkSession, archive: Path, mislabelled: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = tmp_path / "network.yaml"
    network.write_text(json.dumps(NETWORK))
    arguments = ["--network", str(network), "--workers", "2", "--batch-size", "40", "--steps", "9", "--json"]
    code = main.run(["verify", str(archive), *arguments])
    captured = capsys.readouterr()
    assert code == 5, captured.err
    document = json.loads(captured.out)
    assert (document["verdict"], document["steps"], document["images"]) == ("different", 3, 180)
    assert document["comparison"]["parameter"] in ("0.weight", "0.bias", "4.weight", "4.bias")
    assert document["plain_step"]["distance"] > 0.1
    assert "weights are not those of one process" in captured.err


def test_what_rounding_makes_of_a_step_is_told_from_a_fault(images: DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    def on_another_cpu(task: Any, start: TrainingState, shards: Any, **options: Any) -> Any:
        if len(shards) == 1:
            raise TrainingError("the loss is nan")
        weights = {name: tensor * (1 + 1e-7) for name, tensor in start.weights.items()}
        return train_in_one_process(task, dataclasses.replace(start, weights=weights), shards, **options)

    monkeypatch.setattr(verification, "train_in_one_process", on_another_cpu)
    found = verify(Trainer(NETWORK, config=CONFIG), images, steps=2)
    assert found.verdict == "rounding", str(found)
    assert found.plain_step is not None
    assert 0 < found.plain_step.distance < 1e-4
    assert found.loss_alone is None  # which is no reason to fail


def test_what_cannot_be_compared_is_refused(
    spark: SparkSession, images: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    rrelu = {"layers": ["Flatten", "RReLU", {"Linear": {"out_features": "classes"}}]}
    refused: list[tuple[Callable[[], Any], str]] = [
        (lambda: verify(Trainer(rrelu, config=CONFIG), images, steps=1), "draws random numbers of its own"),
        (lambda: verify(Trainer(config=CONFIG), images, steps=0), "steps is 0"),
        (
            lambda: verify(Trainer(strategy=AllReduce(compression="fp16"), config=CONFIG), images),
            "Verify with --compression none",
        ),
    ]
    for work, message in refused:
        with pytest.raises(ConfigError, match=message):
            work()
    monkeypatch.setattr(verification, "session_settings", lambda _: {"spark.task.resource.gpu.amount": "1"})
    with pytest.raises(ConfigError, match=r"spark\.task\.resource\.gpu\.amount is 1"):
        verify(Trainer(config=CONFIG), images)
