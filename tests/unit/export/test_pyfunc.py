"""Models through `mlflow.pyfunc.save_model` and `load_model`."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from tests.unit.export.models import FACTORIES, image_model, number_model, vector_model

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow's own, of its own types
    import mlflow.pyfunc

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.errors import ConfigError, DataError
from sparkweave.export.onnx import example_inputs
from sparkweave.export.pyfunc import pyfunc_options
from sparkweave.inference.predictor import Predictor
from sparkweave.inference.task import PredictorTask

Load = Callable[..., Any]


@pytest.fixture
def saved(tmp_path: Path, store: str) -> Callable[[ModelArtifact], str]:
    def save(artifact: ModelArtifact) -> str:
        data, folder = str(tmp_path / "model.zip"), str(tmp_path / "mlflow-model")
        artifact.save(data)
        mlflow.pyfunc.save_model(folder, **pyfunc_options(artifact, data))
        return folder

    return save


@pytest.fixture
def loaded(saved: Callable[[ModelArtifact], str]) -> Load:
    return lambda artifact: mlflow.pyfunc.load_model(saved(artifact))


def predictor_of(artifact: ModelArtifact) -> Predictor:
    return Predictor(*PredictorTask.of(artifact, allow_code=True))


@pytest.mark.parametrize(
    "make",
    [image_model, functools.partial(image_model, channels=3), vector_model, number_model],
    ids=["gray", "color", "vectors", "numbers"],
)
def test_arrays_give_the_predictors_bits(loaded: Load, make: Callable[[], ModelArtifact]) -> None:
    predictor = predictor_of(make())
    inputs = example_inputs(predictor.task, 9)
    assert np.array_equal(loaded(make()).predict(inputs), predictor(inputs))


def test_a_column_of_encoded_images(loaded: Load) -> None:
    artifact = image_model()
    predictor = predictor_of(artifact)
    images = example_inputs(predictor.task, 3)
    frame = pd.DataFrame({"content": [cv2.imencode(".png", image)[1].tobytes() for image in images]})
    assert np.array_equal(loaded(artifact).predict(frame), predictor(images))


def test_columns_of_numbers(loaded: Load) -> None:
    artifact = number_model()
    predictor = predictor_of(artifact)
    vectors = example_inputs(predictor.task, 4)
    frame = pd.DataFrame(vectors.astype(np.float64), columns=["a", "b", "c"])
    assert np.array_equal(loaded(artifact).predict(frame), predictor(vectors))


def test_nothing_is_pickled(saved: Callable[[ModelArtifact], str]) -> None:
    names = sorted(path.name for path in Path(saved(image_model())).rglob("*") if path.is_file())
    assert names == ["MLmodel", "conda.yaml", "model.zip", "python_env.yaml", "requirements.txt"]


def test_user_code_is_imported_only_where_that_is_allowed(saved: Callable[[ModelArtifact], str]) -> None:
    artifact = image_model(f"{FACTORIES}:Plain")
    folder = saved(artifact)
    with pytest.raises(ConfigError, match="allow_code"):
        mlflow.pyfunc.load_model(folder)
    predictor = predictor_of(artifact)
    images = example_inputs(predictor.task, 2)
    found = mlflow.pyfunc.load_model(folder, model_config={"allow_code": True}).predict(images)
    assert np.array_equal(found, predictor(images))


@pytest.mark.parametrize(
    ("make", "inputs", "message"),
    [
        (image_model, np.zeros((2, 28, 28, 1), np.float32), "type float32; the model takes uint8"),
        (image_model, np.zeros((2, 1, 28, 28), np.uint8), r"takes uint8 of the shape \(rows, 28, 28, 1\)"),
        (vector_model, np.zeros((2, 4), np.float32), r"takes float32 of the shape \(rows, 3\)"),
        (image_model, pd.DataFrame({"a": [b""], "b": [b""]}), "has 2 columns; give one"),
        (image_model, pd.DataFrame({"a": ["x.png"]}), "row 0 is a str; give the bytes"),
        (image_model, pd.DataFrame({"a": [b"GIF89a"]}), "the image of row 0: .*only PNG and JPEG"),
    ],
)
def test_other_inputs_are_refused(
    loaded: Load, make: Callable[[], ModelArtifact], inputs: object, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        loaded(make()).predict(inputs)
