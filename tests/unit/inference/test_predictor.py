"""One prediction path: the same input gives the same bits in any batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.errors import ArtifactError, ConfigError
from sparkweave.inference.predictor import BATCH_ROWS, Predictor
from sparkweave.inference.task import PredictorTask
from sparkweave.networks import build_network, describe_network

LABELS = tuple(str(number) for number in range(10))
SHAPE = (1, 28, 28)


def make_artifact(**config: object) -> ModelArtifact:
    torch.manual_seed(0)
    network = build_network("lenet", input_shape=SHAPE, classes=10, allow_code=False)
    known = {"network": describe_network("lenet"), "input_shape": list(SHAPE), "labels": list(LABELS)}
    preprocessing = {"mean": [0.3], "deviation": [0.25]}
    return ModelArtifact(config={**known, "preprocessing": preprocessing, **config}, weights=network.state_dict())


def make_images(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 28, 28, 1), np.uint8)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_the_same_image_gives_the_same_bits_in_any_batch(threads: int) -> None:
    predictor = Predictor(*PredictorTask.of(make_artifact()))
    images = make_images(64)
    whole = predictor(images)
    assert whole.shape == (64, 10)
    np.testing.assert_allclose(whole.sum(axis=1), 1, rtol=1e-5)
    for count in (1, 2, 3, 5, 9, 11, 17, 63):
        assert np.array_equal(predictor(images[:count]), whole[:count]), count


def test_many_images_go_through_in_parts() -> None:
    predictor = Predictor(*PredictorTask.of(make_artifact()))
    images = make_images(BATCH_ROWS + 3)
    assert np.array_equal(predictor(images)[-3:], predictor(images[-3:]))


def test_no_image_gives_no_row() -> None:
    assert Predictor(*PredictorTask.of(make_artifact()))(make_images(0)).shape == (0, 10)


def test_models_differ_in_name_where_weights_or_config_do() -> None:
    one, other = make_artifact(), make_artifact(preprocessing={"mean": [0.4], "deviation": [0.25]})
    assert PredictorTask.of(one)[0].model == PredictorTask.of(make_artifact())[0].model
    assert PredictorTask.of(one)[0].model != PredictorTask.of(other)[0].model


@pytest.mark.parametrize("preprocessing", [None, {}, {"mean": [0.1, 0.2], "deviation": [1.0]}])
def test_a_model_without_preprocessing_is_refused(preprocessing: object) -> None:
    with pytest.raises(ArtifactError, match="a mean and a deviation a channel"):
        PredictorTask.of(make_artifact(preprocessing=preprocessing))


@pytest.mark.parametrize(("mean", "deviation"), [(5, [1.0]), ([0.1], [0.0]), ([float("nan")], [1.0]), (["x"], [1.0])])
def test_a_model_with_strange_preprocessing_is_refused(mean: object, deviation: object) -> None:
    with pytest.raises(ArtifactError, match="preprocessing is"):
        PredictorTask.of(make_artifact(preprocessing={"mean": mean, "deviation": deviation}))


def test_user_code_is_imported_only_where_that_is_allowed() -> None:
    task, weights = PredictorTask.of(make_artifact(network={"name": "x", "factory": "some.module:make"}))
    with pytest.raises(ConfigError, match="allow_code=True"):
        Predictor(task, weights)
