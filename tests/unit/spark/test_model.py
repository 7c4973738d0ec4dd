"""A trained model keeps its evaluation, without a Spark session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.errors import ArtifactError
from sparkweave.metrics.document import to_document
from sparkweave.metrics.evaluation import Evaluation
from sparkweave.spark.model import TrainedModel

CONFIG: dict[str, Any] = {
    "network": {"name": "lenet"},
    "input_shape": [1, 28, 28],
    "labels": ["0", "1"],
    "class_names": {"0": "t-shirt"},
    "preprocessing": {"mean": [0.5], "deviation": [0.5]},
}


def saved(path: Path, evaluation: dict[str, Any] | None) -> str:
    ModelArtifact(config=CONFIG, weights={"w": torch.zeros(2)}, evaluation=evaluation).save(str(path))
    return str(path)


def test_the_evaluation_is_restored_with_the_names_of_classes(tmp_path: Path) -> None:
    evaluation = Evaluation(["0", "1"], class_names={"0": "t-shirt"})
    evaluation.update(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.3, 0.7], [0.6, 0.4]]))
    loaded = TrainedModel.load(saved(tmp_path / "model", to_document(evaluation)))
    assert loaded.evaluation is not None
    assert loaded.evaluation.to_dict() == evaluation.to_dict()
    assert loaded.evaluation.stats() == evaluation.stats()
    loaded.save(str(tmp_path / "again"))
    again = (tmp_path / "again" / "evaluation.json").read_bytes()
    assert again == (tmp_path / "model" / "evaluation.json").read_bytes()


def test_a_model_that_has_none_is_loaded(tmp_path: Path) -> None:
    assert TrainedModel.load(saved(tmp_path / "model", None)).evaluation is None


def test_one_that_can_t_be_read_is_refused_with_the_models_place(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="model: the evaluation that is saved with the model can't be read"):
        TrainedModel.load(saved(tmp_path / "model", {"kind": "classification"}))
