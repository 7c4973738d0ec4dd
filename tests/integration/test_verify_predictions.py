"""Batches, streams and HTTP give the same probabilities; and where they would not, it is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pyspark.sql import SparkSession

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.cli import main
from sparkweave.errors import ConfigError
from sparkweave.networks import build_network, describe_network
from sparkweave.serving.client import probabilities_from
from sparkweave.serving.local import served
from sparkweave.spark.agreement import compared
from sparkweave.testing.archives import write_image_archive

LABELS = ["0", "1", "2"]


def make_artifact(seed: int) -> ModelArtifact:
    torch.manual_seed(seed)
    network = build_network("mlp", input_shape=(3, 8, 8), classes=3, allow_code=False)
    return ModelArtifact(
        config={
            "network": describe_network("mlp"),
            "input_shape": [3, 8, 8],
            "labels": LABELS,
            "preprocessing": {"mean": [0.5] * 3, "deviation": [0.25] * 3},
        },
        weights=network.state_dict(),
    )


@pytest.fixture
def archive(tmp_path: Path) -> str:
    write_image_archive(
        path := str(tmp_path / "images.zip"), labels=LABELS, images_per_label=30, size=(8, 8), channels=3
    )
    return path


@pytest.fixture
def model(tmp_path: Path) -> str:
    make_artifact(0).save(url := str(tmp_path / "model.zip"))
    return url


def test_all_ways_give_the_same_bits(
    spark: SparkSession, archive: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["verify-predictions", model, archive, "--images", "70", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["comparisons"]
    assert [(each["way"], each["images"], each["identical"], each["verdict"]) for each in found] == [
        ("stream", 70, 70, "identical"),
        ("http", 70, 70, "identical"),
    ]


def test_a_service_of_another_model_is_noticed(
    spark: SparkSession, archive: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(make_artifact(1)) as url:
        code = main.run(["verify-predictions", model, archive, "--images", "20", "--url", url])
    captured = capsys.readouterr()
    assert code == 6
    assert "http: different; 0 of 20 images" in captured.out
    assert "stream: identical" in captured.out
    assert "a model's predictions depend on the way they are asked for" in captured.err


def test_what_is_no_service_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'ftp://x' is no URL of a service"):
        probabilities_from("ftp://x", [b"image"])
    with pytest.raises(ConfigError, match="does not answer as a sparkweave service does"):
        probabilities_from("http://127.0.0.1:9", [b"image"])
    with served(make_artifact(0)) as url, pytest.raises(ConfigError, match=f"{url} answered 4"):
        probabilities_from(url, [b"no image"])


@pytest.mark.parametrize(("difference", "verdict"), [(0.0, "identical"), (1e-6, "rounding"), (0.1, "different")])
def test_verdicts(difference: float, verdict: str) -> None:
    batch = {"a": np.array([0.5, 0.5], np.float32), "b": np.array([0.25, 0.75], np.float32)}
    other = {**batch, "b": batch["b"] + np.float32(difference)}
    assert compared("http", batch, other).verdict == verdict
