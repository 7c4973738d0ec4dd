"""Batches, streams and HTTP give the same probabilities; and where they would not, it is said."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from pyspark.sql import DataFrame, SparkSession

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.cli import main
from sparkweave.errors import ConfigError
from sparkweave.filesystem import local_path
from sparkweave.networks import build_network, describe_network
from sparkweave.serving import client, inputs
from sparkweave.serving.client import probabilities_from
from sparkweave.serving.local import served
from sparkweave.spark.agreement import compared
from sparkweave.spark.model import TrainedModel
from sparkweave.spark.streaming.dropped_files import DroppedFiles
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


def jpeg(seed: int, *, orientation: int | None = None) -> bytes:
    """A photo of another size than the model's, which a camera held at an angle marks as to be turned."""
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 31, 3), np.uint8)
    content: bytes = cv2.imencode(".jpg", pixels)[1].tobytes()
    if orientation is None:
        return content
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + b"\0\0\0\0\0\0"
    return content[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + content[2:]


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, bytes]:
    """In ``photos.zip``, with what can't be used between them."""
    found = {f"{number % 3}_{number}.{'jpg' if number % 2 else 'JPEG'}": jpeg(number) for number in range(8)}
    found |= {f"0_turned_{turn}.jpg": jpeg(turn, orientation=turn) for turn in (3, 6, 8)}
    with zipfile.ZipFile(tmp_path / "photos.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in {**found, "broken.jpg": jpeg(0)[:99], "notes.txt": b"no image"}.items():
            file.writestr(name, content)
    return found


def test_files_are_posted_and_streamed_as_they_are(
    spark: SparkSession,
    tmp_path: Path,
    photos: dict[str, bytes],
    model: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    streamed: list[bytes] = []
    posted: list[bytes] = []
    predictions, ask = DroppedFiles.predictions, client._asked

    def seen(self: DroppedFiles, batch: DataFrame, batch_id: int, loaded: TrainedModel) -> DataFrame:
        streamed.extend(Path(local_path(row["path"])).read_bytes() for row in batch.collect())
        return predictions(self, batch, batch_id, loaded)

    def asked(url: str, images: list[bytes], token: str | None) -> list[dict[str, Any]]:
        posted.extend(images)
        return ask(url, images, token)

    monkeypatch.setattr(DroppedFiles, "predictions", seen)
    monkeypatch.setattr(client, "_asked", asked)
    assert (
        main.run(["verify-predictions", model, str(tmp_path / "photos.zip"), "--scratch", str(tmp_path), "--json"]) == 0
    )
    found = json.loads(capsys.readouterr().out)["comparisons"]
    assert [(each["way"], each["images"], each["identical"]) for each in found] == [
        ("stream", 11, 11),
        ("http", 11, 11),
    ]
    assert sorted(posted) == sorted(streamed) == sorted(photos.values())
    assert not list(tmp_path.glob("sparkweave-verify-*")), "the folder is gone"


def test_a_service_that_decodes_otherwise_is_noticed(
    spark: SparkSession,
    tmp_path: Path,
    photos: dict[str, bytes],
    model: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    turned_back = {content: jpeg(int(name[9]), orientation=1) for name, content in photos.items() if "turned" in name}
    decode = inputs.decode
    monkeypatch.setattr(
        inputs, "decode", lambda content, **options: decode(turned_back.get(content, content), **options)
    )
    assert main.run(["verify-predictions", model, str(tmp_path / "photos.zip")]) == 6
    said = capsys.readouterr().out
    assert "http: different; 8 of 11 images" in said
    assert "stream: identical" in said


def test_a_service_is_asked_in_bodies_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [bytes(size << 20) for size in (1, 3, 3, 2, 9, 1)] + [b""] * 70
    bodies: list[list[bytes]] = []
    answer = {"probabilities": [1.0]}
    monkeypatch.setattr(client, "_asked", lambda _url, part, _token: bodies.append(part) or [answer] * len(part))
    assert len(probabilities_from("http://h", iter(images))) == len(images)
    assert [image for body in bodies for image in body] == images
    assert [[len(image) >> 20 for image in body][:3] for body in bodies] == [[1, 3, 3], [2], [9], [1, 0, 0], [0, 0, 0]]


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
