"""Tasks that score images, without Spark."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.data.rows import make_bad_row, make_batches, make_row
from tests.unit.gangs import LABELS, NETWORK, SHAPE, first_state, make_task

from sparkweave.data.batches import Normalization
from sparkweave.inference import predictor
from sparkweave.inference.predictor import Predictor
from sparkweave.inference.task import PredictorTask
from sparkweave.metrics.evaluation import Evaluation
from sparkweave.networks import build_network
from sparkweave.spark import scoring
from sparkweave.spark.scoring import (
    EVALUATION_COLUMNS,
    PREDICTION_COLUMNS,
    evaluate_examples,
    predict_classes,
)
from sparkweave.strategies import AllReduce
from sparkweave.training.state import TrainingState

STATE = first_state(make_task(AllReduce(), (1,)))
TASK = PredictorTask(
    model="tiny", network=NETWORK, allow_code=False, input_shape=SHAPE, labels=LABELS, mean=(0.3,), deviation=(0.25,)
)


@dataclasses.dataclass
class Broadcast:
    value: bytes


WEIGHTS = Broadcast(TrainingState(epoch=0, weights=STATE.weights).to_blobs()["model.safetensors"])


@pytest.fixture(autouse=True)
def no_network_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "_predictors", type(scoring._predictors)())


def good(number: int, **options: Any) -> dict[str, Any]:
    return make_row(number, size=(8, 8, 1), **options)


def predicted(rows: list[dict[str, Any]], cuts: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    batches = predict_classes(make_batches(rows, cuts), task=TASK, weights=WEIGHTS)
    return [row for batch in batches for row in batch.to_pylist()]


def evaluated(rows: list[dict[str, Any]], cuts: tuple[int, ...] = ()) -> dict[str, Any]:
    (batch,) = evaluate_examples(make_batches(rows, cuts), task=TASK, weights=WEIGHTS)
    (row,) = batch.to_pylist()
    assert isinstance(row, dict)
    return row


def expected(rows: list[dict[str, Any]]) -> torch.Tensor:
    network = build_network(NETWORK, input_shape=SHAPE, classes=3, allow_code=False)
    network.load_state_dict(dict(STATE.weights))
    pixels = np.stack([np.frombuffer(row["image"]["data"], np.uint8).reshape(8, 8, 1) for row in rows])
    with torch.inference_mode():
        images = Normalization((0.3,), (0.25,))(torch.from_numpy(pixels.copy()))
        result: torch.Tensor = network.eval()(images).softmax(dim=1)
    return result


def test_each_image_gets_its_probabilities_in_the_order_of_the_rows() -> None:
    rows = [good(number) for number in range(300)]
    found = predicted(rows, (7, 7))
    probabilities = expected(rows)
    assert list(found[0]) == [column.split()[0] for column in PREDICTION_COLUMNS.split(", ")]
    assert [row["path"] for row in found] == [row["path"] for row in rows]
    assert np.allclose([row["probability"] for row in found], probabilities, atol=1e-6)
    assert [row["prediction"] for row in found] == [LABELS[index] for index in probabilities.argmax(dim=1)]
    assert all(row["error"] is None for row in found)


def test_an_unusable_image_has_its_reason_and_no_prediction() -> None:
    rows = [make_bad_row(0), good(1), make_row(2, size=(4, 4, 1)), make_bad_row(3, error=None)]
    found = predicted(rows)
    assert [row["prediction"] is None for row in found] == [True, False, True, True]
    assert [row["probability"] is None for row in found] == [True, False, True, True]
    assert found[0]["error"] == "broken"
    assert "the model takes 8x8" in found[2]["error"]
    assert np.allclose(found[1]["probability"], expected([rows[1]])[0], atol=1e-6)


@pytest.mark.parametrize("rows", [[], [make_bad_row(0)]], ids=["none", "bad"])
def test_there_may_be_nothing_to_score(rows: list[dict[str, Any]]) -> None:
    assert [row["prediction"] for row in predicted(rows)] == [None] * len(rows)
    row = evaluated(rows)
    assert (row["rows"], row["bad"]) == (len(rows), len(rows))
    assert Evaluation.from_dict(json.loads(row["evaluation"])).examples == 0


def test_labels_are_not_needed_to_predict() -> None:
    (batch,) = make_batches([good(0)])
    (found,) = predict_classes([batch.select(["image"])], task=TASK, weights=WEIGHTS)
    (row,) = found.to_pylist()
    assert row["path"] is row["label"] is None
    assert row["prediction"] in LABELS


def test_an_output_that_is_not_finite_is_an_error_of_its_row() -> None:
    task = dataclasses.replace(TASK, deviation=(1e-40,))
    (row,) = [
        row
        for batch in predict_classes(make_batches([good(0)]), task=task, weights=WEIGHTS)
        for row in batch.to_pylist()
    ]
    assert row["error"] == "the network's output for it is not finite"
    assert row["prediction"] is row["probability"] is None


def test_an_evaluation_counts_the_good_and_names_the_bad() -> None:
    rows = [good(number) for number in range(20)]
    row = evaluated([*rows, make_bad_row(0), good(30, label="unknown"), {**good(31), "label": None}], (5,))
    assert list(row) == [column.split()[0] for column in EVALUATION_COLUMNS.split(", ")]
    assert (row["rows"], row["bad"]) == (23, 3)
    assert "broken" in row["bad_reasons"][0]
    assert "the model knows no label 'unknown'; it was trained on 0, 1, 2" in row["bad_reasons"][1]
    assert "it has no label" in row["bad_reasons"][2]
    evaluation = Evaluation.from_dict(json.loads(row["evaluation"]))
    reference = Evaluation(LABELS)
    reference.update(np.array([int(row["label"]) for row in rows]), expected(rows).numpy())
    assert evaluation.examples == 20
    assert evaluation.accuracy == reference.accuracy
    assert evaluation.loss == pytest.approx(reference.loss, rel=1e-5)


def test_a_process_loads_a_network_once_and_keeps_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    class Counting(Predictor):
        def __init__(self, task: PredictorTask, *arguments: Any, **options: Any) -> None:
            loaded.append(task.model)
            super().__init__(task, *arguments, **options)

    monkeypatch.setattr(predictor, "Predictor", Counting)
    for model in ("a", "a", "b", "c", "c", "a"):
        list(predict_classes(make_batches([good(0)]), task=dataclasses.replace(TASK, model=model), weights=WEIGHTS))
    assert loaded == ["a", "b", "c", "a"]
