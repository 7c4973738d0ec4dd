"""ONNX graphs, run by ONNX Runtime, against the predictor."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from tests.unit.export.models import FACTORIES, image_model, number_model, vector_model

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.errors import ArtifactError, ConfigError
from sparkweave.export import onnx as export
from sparkweave.export.onnx import ONNX_FILE, example_inputs, to_onnx
from sparkweave.inference.predictor import Predictor
from sparkweave.inference.task import PredictorTask

MODELS = {
    "lenet": image_model,
    "resnet": functools.partial(image_model, "resnet", channels=3),
    "vectors": vector_model,
    "numbers": number_model,
    "user code": functools.partial(image_model, f"{FACTORIES}:Plain"),
}


@functools.cache
def exported(name: str) -> tuple[ModelArtifact, bytes]:
    artifact = MODELS[name]()
    return artifact, to_onnx(artifact, allow_code=True)


def run(content: bytes, inputs: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: inputs})
    return found


@pytest.mark.parametrize("name", MODELS)
def test_the_graph_gives_what_the_predictor_gives_for_any_batch(name: str) -> None:
    artifact, content = exported(name)
    predictor = Predictor(*PredictorTask.of(artifact, allow_code=True))
    scale = 50 if name == "numbers" else 1
    for rows in (1, 2, 8, 31):
        inputs = example_inputs(predictor.task, rows)
        np.testing.assert_allclose(run(content, inputs), predictor(inputs), atol=1e-5 * scale)


def test_examples_differ_so_that_the_comparison_means_something() -> None:
    artifact, content = exported("lenet")
    found = run(content, example_inputs(PredictorTask.of(artifact)[0], 8))
    assert len(np.unique(found, axis=0)) == 8


@pytest.mark.parametrize(
    ("name", "input_type", "output"),
    [
        ("lenet", ("images", "tensor(uint8)", ["batch", 28, 28, 1]), ("probabilities", ["batch", 10])),
        ("vectors", ("vectors", "tensor(float)", ["batch", 3]), ("probabilities", ["batch", 2])),
        ("numbers", ("vectors", "tensor(float)", ["batch", 3]), ("numbers", ["batch", 1])),
    ],
)
def test_inputs_and_outputs_are_as_documented(name: str, input_type: tuple[Any, ...], output: tuple[Any, ...]) -> None:
    session = onnxruntime.InferenceSession(exported(name)[1], providers=["CPUExecutionProvider"])
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.type, taken.shape) == input_type
    assert (given.name, given.shape) == output


def test_the_metadata_says_what_the_outputs_mean() -> None:
    artifact, content = exported("lenet")
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found = session.get_modelmeta().custom_metadata_map
    assert json.loads(found["labels"]) == [str(number) for number in range(10)]
    assert json.loads(found["class_names"])["3"] == "class 3"
    assert json.loads(found["task"]) == "classification"
    assert json.loads(found["input_shape"]) == [1, 28, 28]
    assert found["model"] == PredictorTask.of(artifact)[0].model


@pytest.mark.parametrize("name", ["lenet", "numbers"])
def test_the_graph_is_valid_and_tells_nothing_of_this_machine(name: str) -> None:
    content = exported(name)[1]
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert model.producer_name == "sparkweave"
    for private in (str(Path(export.__file__).parents[2]), "site-packages", "stack_trace"):
        assert private.encode() not in content


def test_a_file_of_ours_is_known_again(tmp_path: Path) -> None:
    path = str(tmp_path / "model.onnx")
    ONNX_FILE.write(path, exported("vectors")[1])
    ONNX_FILE.write(path, exported("vectors")[1], overwrite=True)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("BranchesOnValues", "can't be exported to ONNX: .* no branches on values"),
        ("DependsOnTheBatch", "does not predict as the network does: for a batch of"),
        ("Random", "does not predict as the network does: for a batch of"),
    ],
)
def test_a_network_that_has_no_such_graph_is_refused(factory: str, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        to_onnx(image_model(f"{FACTORIES}:{factory}"), allow_code=True)


def test_user_code_is_imported_only_where_that_is_allowed() -> None:
    with pytest.raises(ConfigError, match="allow_code=True"):
        to_onnx(image_model(f"{FACTORIES}:Plain"))


def test_weights_that_no_onnx_file_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_MAX_BYTES", 1000)
    with pytest.raises(ArtifactError, match="can't have more than 2 GiB"):
        to_onnx(vector_model())


def test_numbers_that_are_not_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = vector_model()
    for tensor in artifact.weights.values():
        tensor.fill_(float("nan"))
    with pytest.raises(ArtifactError, match="up to nan from it"):
        to_onnx(artifact)
