"""An evaluation that is kept beside a model is restored whole, and a stranger's is refused."""

from __future__ import annotations

import doctest
import json
from typing import Any

import numpy as np
import pytest

from sparkweave.errors import ArtifactError
from sparkweave.metrics import document as module
from sparkweave.metrics.document import AnyEvaluation, from_document, to_document
from sparkweave.metrics.evaluation import Evaluation
from sparkweave.metrics.regression import RegressionEvaluation


def classified(classes: int = 3) -> Evaluation:
    generator = np.random.default_rng(classes)
    labels = [str(number) for number in range(classes)]
    evaluation = Evaluation(labels, class_names={"0": "cat"})
    evaluation.update(generator.integers(0, classes, 50), generator.dirichlet(np.ones(classes), 50))
    evaluation.left_out, evaluation.left_out_reasons = 7, ("a.zip!/1_1.png: broken",)
    return evaluation


def estimated() -> RegressionEvaluation:
    evaluation = RegressionEvaluation()
    evaluation.update(np.array([0.1, 2.0, 3e9]), np.array([0.2, 2.0, 4.0]))
    evaluation.left_out = 1
    return evaluation


def through_json(document: dict[str, Any]) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
    return parsed


def test_the_examples_are_right() -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("evaluation", [classified(), classified(2), Evaluation(["1"]), estimated()])
def test_an_evaluation_is_restored_with_all_its_figures(evaluation: AnyEvaluation) -> None:
    restored = from_document(through_json(to_document(evaluation)), class_names={"0": "cat"})
    assert type(restored) is type(evaluation)
    assert restored.to_dict() == evaluation.to_dict()
    assert restored.to_json() == evaluation.to_json()
    assert restored.stats() == evaluation.stats()


def test_who_only_reads_finds_counts_and_figures_by_plain_names() -> None:
    document = to_document(classified())
    assert document["kind"] == "classification"
    assert document["labels"] == ["0", "1", "2"]
    assert sum(map(sum, document["confusion"])) == document["examples"] == 50
    assert document["accuracy"] == classified().accuracy
    assert to_document(estimated())["kind"] == "regression"
    assert to_document(estimated())["outputs"][0]["mae"] == estimated().figures[0].mae


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "ranking"),
        ("kind", None),
        ("labels", []),
        ("labels", 3),
        ("confusion", [1, 2, 3]),
        ("confusion", [[1]]),
        ("confusion", [[-1, 0, 0]] * 3),
        ("confusion", [[0.5, 0, 0]] * 3),
        ("confusion", [[1], [1, 2], []]),
        ("confusion", [[1 << 70, 0, 0]] * 3),
        ("top_k", [0]),
        ("hits", [1]),
        ("hits", ["1", "2"]),
        ("loss_units", "much"),
        ("scores", None),
        ("scores", [[[0, 1], [0, 1]]]),
        ("calibration", {}),
        ("examples", -1),
        ("left_out", True),
        ("left_out_reasons", None),
    ],
)
def test_what_is_no_evaluation_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ArtifactError, match="the evaluation that is saved with the model can't be read"):
        from_document({**through_json(to_document(classified())), name: value})


@pytest.mark.parametrize(("name", "value"), [("sums", []), ("sums", [{}]), ("names", []), ("examples", 1.5)])
def test_what_is_no_evaluation_of_numbers_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ArtifactError, match="can't be read"):
        from_document({**through_json(to_document(estimated())), name: value})


def test_a_field_that_is_missing_is_named() -> None:
    with pytest.raises(ArtifactError, match=r"KeyError.*loss_units"):
        from_document({name: value for name, value in to_document(classified()).items() if name != "loss_units"})


def test_the_loss_of_very_many_examples_is_no_reason_to_refuse() -> None:
    document = {**through_json(to_document(classified())), "loss_units": 1 << 70}
    assert from_document(document).loss == 2**38 / 50
