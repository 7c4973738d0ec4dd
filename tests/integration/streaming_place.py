"""The folders of a stream, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.networks import build_network, describe_network
from sparkweave.spark.streaming.assembly import StreamOrder, open_stream
from sparkweave.spark.streaming.query import BatchEnded

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SHAPE = (1, 8, 8)


def make_model(seed: int = 0, labels: tuple[str, ...] = ("cat", "dog")) -> ModelArtifact:
    torch.manual_seed(seed)
    network = build_network("mlp", input_shape=SHAPE, classes=len(labels), allow_code=False)
    config = {"network": describe_network("mlp"), "input_shape": list(SHAPE), "labels": list(labels)}
    preprocessing = {"mean": [0.3], "deviation": [0.25]}
    return ModelArtifact(config={**config, "preprocessing": preprocessing}, weights=network.state_dict())


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 1), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def fail_for_now(path: Path) -> None:
    """Reading it is an OSError (ELOOP) that says nothing of what an image is like, as when a disk fails."""
    path.unlink()
    path.symlink_to(path.name)


class Place:
    """The folders of a stream."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.input, self.output = folder, folder / "in", folder / "out"
        self.input.mkdir()
        self.models = folder / "models"
        self.models.mkdir()
        make_model().save(str(self.models / "000001.zip"))
        self.batches: list[BatchEnded] = []

    def order(self, **changes: Any) -> StreamOrder:
        known = {
            "model": self.models,
            "input": self.input,
            "output": self.output,
            "checkpoint": self.folder / "checkpoint",
        }
        return StreamOrder(**{**{name: str(path) for name, path in known.items()}, **changes})

    def run(self, spark: SparkSession, **changes: Any) -> None:
        open_stream(spark, self.order(**changes), on_batch=self.batches.append).run(spark, available_now=True)

    def drop(self, name: str, content: bytes) -> None:
        beside = self.folder / "beside"
        beside.write_bytes(content)
        beside.rename(self.input / name)

    def rows(self, spark: SparkSession) -> dict[str, Any]:
        rows = spark.read.parquet(str(self.output)).collect()
        found = {row.path.removeprefix(f"{self.input}/"): row for row in rows}
        assert len(found) == len(rows), "an image is there twice"
        return found
