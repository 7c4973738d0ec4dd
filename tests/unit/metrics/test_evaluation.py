"""The figures agree with scikit-learn's, and with Deeplearning4j's definitions where those differ."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkweave.errors import ConfigError, DataError
from sparkweave.metrics.evaluation import Evaluation

sklearn_metrics = pytest.importorskip("sklearn.metrics")

Batch = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]


@st.composite
def batches(draw: st.DrawFn, min_classes: int = 2, min_size: int = 1) -> Batch:
    """True classes (N,) and softmax probabilities (N, C), ties among them."""
    classes = draw(st.integers(min_classes, 7))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    actual = generator.integers(0, classes, draw(st.integers(min_size, 40)))
    logits = generator.normal(size=(len(actual), classes)) * draw(st.sampled_from([0.0, 1.0, 5.0]))
    if draw(st.booleans()):
        logits = logits.round()
    exponentials = np.exp(logits)
    return actual, (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)


def evaluate(batch: Batch, **options: Any) -> Evaluation:
    actual, probabilities = batch
    evaluation = Evaluation([f"c{index}" for index in range(probabilities.shape[1])], **options)
    evaluation.update(actual, probabilities)
    return evaluation


@given(batches(min_classes=3))
def test_the_figures_are_those_of_scikit_learn(batch: Batch) -> None:
    actual, probabilities = batch
    predicted, indices = probabilities.argmax(axis=1), np.arange(probabilities.shape[1])
    evaluation = evaluate(batch)

    assert evaluation.accuracy == pytest.approx(sklearn_metrics.accuracy_score(actual, predicted))
    assert (evaluation.confusion == sklearn_metrics.confusion_matrix(actual, predicted, labels=indices)).all()
    options: dict[str, Any] = {"labels": indices, "average": "macro", "zero_division": np.nan}
    assert evaluation.precision == pytest.approx(sklearn_metrics.precision_score(actual, predicted, **options))
    assert evaluation.recall == pytest.approx(sklearn_metrics.recall_score(actual, predicted, **options))
    both = np.intersect1d(actual, predicted)
    if both.size:
        options["labels"] = both
        assert evaluation.f1 == pytest.approx(sklearn_metrics.f1_score(actual, predicted, **options))
    else:
        assert math.isnan(evaluation.f1)


@given(batches())
def test_the_loss_is_the_mean_cross_entropy(batch: Batch) -> None:
    actual, probabilities = batch
    expected = -np.log(probabilities.astype(np.float64)[np.arange(len(actual)), actual]).mean()
    assert evaluate(batch).loss == pytest.approx(expected, abs=1e-8)


@given(batches(min_classes=3), st.integers(1, 7))
def test_top_k_counts_the_k_most_probable_classes(batch: Batch, k: int) -> None:
    actual, probabilities = batch
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    expected = (best == actual[:, None]).any(axis=1).mean()
    evaluation = evaluate(batch, top_k=(k,))
    assert evaluation.top_k_accuracy(k) == pytest.approx(expected)
    assert evaluation.top_k_accuracy(1) == evaluation.accuracy


@given(batches(), st.lists(st.integers(0, 40), max_size=4), st.randoms())
@settings(max_examples=50)
def test_any_cut_and_any_order_of_merges_gives_the_same_figures(batch: Batch, cuts: list[int], order: Any) -> None:
    actual, probabilities = batch
    bounds = [0, *sorted(min(cut, len(actual)) for cut in cuts), len(actual)]
    parts = [
        evaluate((actual[start:end], probabilities[start:end])).to_dict() for start, end in itertools.pairwise(bounds)
    ]
    order.shuffle(parts)
    merged = Evaluation.from_dict(json.loads(json.dumps(parts[0])))
    for part in parts[1:]:
        merged.merge(Evaluation.from_dict(part))
    assert merged.to_dict() == evaluate(batch).to_dict()
    assert merged.to_json() == evaluate(batch).to_json()


@given(batches(min_classes=3))
def test_the_area_of_several_classes_is_the_mean_of_each_against_the_others(batch: Batch) -> None:
    actual, probabilities = batch
    evaluation = evaluate(batch)
    counted = [index for index in range(probabilities.shape[1]) if 0 < (actual == index).sum() < len(actual)]
    if not counted:
        assert math.isnan(evaluation.roc_auc)
        return
    areas = [sklearn_metrics.roc_auc_score(actual == index, probabilities[:, index]) for index in counted]
    error = np.mean([evaluation.curve(f"c{index}").roc_auc_error for index in counted])
    assert abs(evaluation.roc_auc - np.mean(areas)) <= error + 1e-12


def test_the_area_of_several_classes_is_that_of_scikit_learn_and_torchmetrics() -> None:
    torch, torchmetrics = pytest.importorskip("torch"), pytest.importorskip("torchmetrics.functional.classification")
    generator = np.random.default_rng(5)
    actual = generator.integers(0, 4, 5000)
    logits = generator.normal(size=(5000, 4)) * 2 + 2 * np.eye(4)[actual]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    evaluation = evaluate((actual, probabilities))
    assert max(evaluation.curve(label).roc_auc_error for label in evaluation.labels) < 0.002
    expected = sklearn_metrics.roc_auc_score(actual, probabilities, multi_class="ovr", average="macro")
    assert evaluation.roc_auc == pytest.approx(expected, abs=0.0001)
    found = torchmetrics.multiclass_auroc(torch.from_numpy(probabilities), torch.from_numpy(actual), num_classes=4)
    assert evaluation.roc_auc == pytest.approx(float(found), abs=0.0001)
    assert evaluation.balanced_accuracy == pytest.approx(
        sklearn_metrics.balanced_accuracy_score(actual, probabilities.argmax(axis=1))
    )


@given(batches(min_classes=2))
def test_the_figures_of_two_classes_are_of_the_second(batch: Batch) -> None:
    actual, probabilities = batch
    evaluation = evaluate(batch)
    if probabilities.shape[1] != 2:
        assert evaluation.binary is None
        return
    assert evaluation.binary is not None
    assert evaluation.binary.positives == (actual == 1).sum()
    assert evaluation.roc_auc == pytest.approx(evaluation.binary.roc_auc, nan_ok=True)
    table = json.loads(evaluation.to_json())["binary"]["thresholds"]
    assert {row["tp"] + row["fn"] for row in table} == {int((actual == 1).sum())}


def test_scores_that_were_not_counted_are_not_guessed() -> None:
    with pytest.raises(ConfigError, match="scores of 'no' were not counted"):
        Evaluation(["no", "yes"]).curve("no")
    many = Evaluation([str(number) for number in range(101)])
    many.update([3], np.full((1, 101), 1 / 101))
    assert math.isnan(many.roc_auc)
    with pytest.raises(ConfigError, match="up to 100 classes"):
        many.curve("3")


def test_with_two_classes_f1_is_that_of_the_second() -> None:
    evaluation = Evaluation(["no", "yes"])
    evaluation.update([0, 0, 0, 1, 1], np.eye(2)[[0, 0, 1, 1, 0]])
    assert evaluation.f1 == pytest.approx(0.5)
    assert evaluation.precision == pytest.approx((2 / 3 + 1 / 2) / 2)


@pytest.mark.parametrize(("actual", "predicted", "f1"), [(1, 0, 0.0), (0, 1, 0.0), (0, 0, math.nan)])
def test_with_two_classes_and_none_of_the_second_f1_is_zero_or_undefined(
    actual: int, predicted: int, f1: float
) -> None:
    evaluation = Evaluation(["no", "yes"])
    evaluation.update([actual], np.eye(2)[[predicted]])
    assert evaluation.f1 == pytest.approx(f1, nan_ok=True)


def test_each_class_has_its_figures_and_those_of_zero_over_zero_are_undefined() -> None:
    evaluation = Evaluation(["a", "b", "c"])
    evaluation.update([0, 0, 1, 1], np.eye(3)[[0, 1, 1, 1]])
    first, second, third = evaluation.classes
    assert (first.label, first.examples, first.predicted, first.correct) == ("a", 2, 1, 1)
    assert (first.precision, first.recall, first.f1) == pytest.approx((1.0, 0.5, 2 / 3))
    assert (second.precision, second.recall, second.f1) == pytest.approx((2 / 3, 1.0, 0.8))
    assert all(math.isnan(figure) for figure in (third.precision, third.recall, third.f1))


def test_without_examples_the_figures_are_defined_and_json_has_nulls() -> None:
    evaluation = Evaluation(["a", "b", "c"])
    assert (evaluation.examples, evaluation.accuracy, evaluation.precision, evaluation.recall) == (0, 0.0, 0.0, 0.0)
    figures = json.loads(evaluation.to_json())
    assert figures["loss"] is None
    assert figures["f1"] is None
    assert figures["classes"][0]["precision"] is None


def test_json_holds_every_figure() -> None:
    evaluation = Evaluation(["a", "b", "c"], top_k=(2,))
    evaluation.update([0, 1, 2], [[0.8, 0.1, 0.1], [0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    figures = json.loads(evaluation.to_json())
    assert figures["examples"] == 3
    assert figures["accuracy"] == pytest.approx(2 / 3)
    assert figures["top_k_accuracy"] == {"1": pytest.approx(2 / 3), "2": 1.0}
    assert figures["confusion"] == [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert figures["classes"][0]["label"] == "a"
    for name in ("balanced_accuracy", "matthews_correlation", "cohens_kappa", "roc_auc", "expected_calibration_error"):
        assert 0 < figures[name] <= 1, name
    assert figures["macro"]["recall"] == figures["weighted"]["recall"] == pytest.approx(2 / 3)
    assert sum(each["examples"] for each in figures["reliability"]) == 3
    assert figures["binary"] is None


def test_a_probability_of_zero_costs_a_finite_loss() -> None:
    evaluation = Evaluation(["a", "b"])
    evaluation.update([0], np.array([[0.0, 1.0]], np.float32))
    assert evaluation.loss == pytest.approx(87.3, abs=0.1)


@pytest.mark.parametrize(
    ("actual", "probabilities", "message"),
    [
        ([0, 1], [[0.5, 0.5, 0.0]], r"shape \(2,\).*\(1, 3\).*\(N, 3\)"),
        ([0], [[0.5, 0.5]], r"\(1, 2\).*\(N, 3\)"),
        ([3], [[0.5, 0.5, 0.0]], "from 3 to 3; the rule is 0 to 2"),
        ([-1], [[0.5, 0.5, 0.0]], "from -1 to -1"),
        ([0.5], [[0.5, 0.5, 0.0]], "float64; give class indices"),
        ([0], [[np.nan, 0.5, 0.0]], "for 1 of 1 images is not finite.*lower learning rate"),
    ],
)
def test_wrong_input_is_refused_and_counts_nothing(actual: Any, probabilities: Any, message: str) -> None:
    evaluation = Evaluation(["a", "b", "c"])
    with pytest.raises(DataError, match=message):
        evaluation.update(actual, probabilities)
    assert evaluation.examples == 0


def test_an_empty_batch_counts_nothing() -> None:
    evaluation = Evaluation(["a", "b"])
    evaluation.update(np.zeros(0, np.int64), np.zeros((0, 2)))
    assert evaluation.examples == 0


def test_options_that_break_their_rule_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least one label"):
        Evaluation([])
    with pytest.raises(ConfigError, match=r"top_k is \(0,\)"):
        Evaluation(["a"], top_k=(0,))
    with pytest.raises(ConfigError, match="top-3 was not counted; this evaluation has 1, 5"):
        Evaluation(["a"]).top_k_accuracy(3)
    with pytest.raises(ConfigError, match="can't be merged"):
        Evaluation(["a"]).merge(Evaluation(["b"]))


def test_importing_the_metrics_loads_neither_torch_nor_pyspark() -> None:
    code = "import sys, sparkweave.metrics.evaluation; print({'torch', 'pyspark'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
