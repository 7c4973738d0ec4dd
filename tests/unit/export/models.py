"""Models of all kinds, newly initialized: exports don't mind."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.networks import build_network, describe_network

FACTORIES = "tests.unit.export.models"
TARGET = {"mean": 1000.0, "deviation": 50.0}


def image_model(network: str = "lenet", *, channels: int = 1, **config: Any) -> ModelArtifact:
    return _model(
        network,
        (channels, 28, 28),
        labels=[str(number) for number in range(10)],
        preprocessing={"mean": [0.3] * channels, "deviation": [0.25] * channels},
        class_names={str(number): f"class {number}" for number in range(10)},
        **config,
    )


def vector_model(network: str = "mlp", **config: Any) -> ModelArtifact:
    preprocessing = {"mean": [5.0, -3.0, 100.0], "deviation": [1.0, 2.0, 30.0]}
    return _model(network, (3,), **{"labels": ["no", "yes"], "preprocessing": preprocessing, **config})


def number_model() -> ModelArtifact:
    return vector_model(labels=[], task="regression", target=TARGET)


def _model(network: str, shape: tuple[int, ...], **config: Any) -> ModelArtifact:
    torch.manual_seed(0)
    built = build_network(network, input_shape=shape, classes=len(config["labels"]) or 1, allow_code=True)
    known = {"network": describe_network(network), "input_shape": list(shape)}
    return ModelArtifact(config={**known, **config}, weights=built.state_dict())


class Plain(nn.Module):
    """A user's module, with dropout that must be off, and a module whose output depends on the batch only by its rows."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(28 * 28, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.head(self.dropout(images.flatten(1) * self.scale))
        return result


class BranchesOnValues(Plain):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images) if images.sum() > 0 else super().forward(-images)


class DependsOnTheBatch(Plain):
    """Predicts otherwise for whoever comes with many, which a predictor that fills up small batches does not show."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images) + images.mean() * torch.arange(10.0)


class Random(Plain):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images + torch.rand_like(images))
