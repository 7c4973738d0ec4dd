"""Curves of counted scores are scikit-learn's and torchmetrics', within the error that they state themselves."""

from __future__ import annotations

import doctest
import itertools
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkweave.errors import ConfigError
from sparkweave.metrics import scores as module
from sparkweave.metrics.curve import Curve
from sparkweave.metrics.scores import MOST_CLASSES, THRESHOLDS, ScoreCounts

sklearn_metrics = pytest.importorskip("sklearn.metrics")
torchmetrics = pytest.importorskip("torchmetrics.functional.classification")

Scored = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]


@st.composite
def scored(draw: st.DrawFn, *, both: bool = True) -> Scored:
    """Truth (N,) of two classes and scores (N,), spread over all of 0 to 1, crowded at the ends, or all alike."""
    size = draw(st.integers(2, 300))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    actual = generator.integers(0, 2, size)
    if both:
        actual[:2] = 0, 1
    logits = generator.normal(size=size) + actual * draw(st.sampled_from([-1.0, 0.0, 1.0, 3.0]))
    scores = 1 / (1 + np.exp(-logits * draw(st.sampled_from([0.0, 0.001, 0.1, 1.0, 5.0, 20.0]))))
    return actual, scores.astype(np.float32)


def curve_of(actual: npt.NDArray[np.int64], scores: npt.NDArray[Any]) -> Curve:
    counts = ScoreCounts(2)
    counts.update(actual, np.stack([1 - scores, scores], axis=1))
    return counts.curve(1)


def rounded(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Down to the thresholds: then nothing is lost by counting."""
    return THRESHOLDS[np.searchsorted(THRESHOLDS, scores, side="right") - 1]


def test_the_examples_are_right() -> None:
    assert doctest.testmod(module).failed == 0


def test_thresholds_are_near_each_other_at_both_ends() -> None:
    assert (THRESHOLDS[0], THRESHOLDS[-1]) == (0, 1)
    assert len(THRESHOLDS) < 6000
    low, high = THRESHOLDS[1:-2].astype(np.float64), THRESHOLDS[2:-1].astype(np.float64)
    nearer_end = np.maximum(np.minimum(low, 1 - high), 2.0**-24)
    assert (high - low <= np.maximum(nearer_end / 128, 2.0**-24) * (1 + 1e-12)).all()
    assert set((np.arange(101) / 100).astype(np.float32)) <= set(THRESHOLDS)


@given(scored())
def test_the_areas_are_scikit_learns_within_the_error_that_they_state(both: Scored) -> None:
    actual, scores = both
    curve = curve_of(actual, scores)
    area, precision = (
        sklearn_metrics.roc_auc_score(actual, scores),
        sklearn_metrics.average_precision_score(actual, scores),
    )
    assert abs(curve.roc_auc - area) <= curve.roc_auc_error + 1e-12
    assert abs(curve.average_precision - precision) <= curve.average_precision_error + 1e-12


@given(scored())
def test_where_scores_are_thresholds_the_figures_are_exact(both: Scored) -> None:
    actual, scores = both[0], rounded(both[1])
    curve = curve_of(actual, scores)
    assert curve.roc_auc == pytest.approx(sklearn_metrics.roc_auc_score(actual, scores), abs=1e-12)
    expected = sklearn_metrics.average_precision_score(actual, scores)
    assert curve.average_precision == pytest.approx(expected, abs=1e-12)
    tensors = torch.from_numpy(scores), torch.from_numpy(actual)
    assert curve.roc_auc == pytest.approx(float(torchmetrics.binary_auroc(*tensors)), abs=1e-5)
    assert curve.average_precision == pytest.approx(float(torchmetrics.binary_average_precision(*tensors)), abs=1e-5)


@given(scored())
def test_the_points_are_scikit_learns(both: Scored) -> None:
    actual, scores = both[0], rounded(both[1])
    curve = curve_of(actual, scores)
    rates = sklearn_metrics.roc_curve(actual, scores, drop_intermediate=False)
    assert np.allclose(curve.roc, rates[:2])
    assert np.allclose(curve.thresholds, rates[2][1:])
    precision, recall, thresholds = sklearn_metrics.precision_recall_curve(actual, scores)
    assert np.allclose(curve.precision_recall, (precision[::-1], recall[::-1]))
    assert np.allclose(curve.thresholds, thresholds[::-1])


def test_the_stated_error_is_small_where_scores_spread_and_large_where_they_don_t() -> None:
    generator = np.random.default_rng(0)
    actual = generator.integers(0, 2, 10_000)
    logits = generator.normal(size=10_000) * 4 + 4 * actual
    spread = curve_of(actual, 1 / (1 + np.exp(-logits)))
    assert 0 < spread.roc_auc_error < 0.001
    assert 0 < spread.average_precision_error < 0.01
    alike = curve_of(actual, np.full(10_000, 0.5))
    assert (alike.roc_auc, alike.roc_auc_error) == (0.5, 0.5)


def test_scores_that_differ_by_less_than_thresholds_need_all_of_the_error() -> None:
    curve = curve_of(np.array([0, 1]), np.array([0.30005, 0.3001]))
    assert (curve.roc_auc, curve.roc_auc_error) == (0.5, 0.5)
    assert (curve.average_precision, curve.average_precision_error) == (0.5, 0.5)


@given(scored(), st.sampled_from([0.01, 0.1, 0.5, 0.75, 0.99]))
def test_a_cut_counts_what_scores_at_least_as_much(both: Scored, threshold: float) -> None:
    actual, scores = both
    cut = curve_of(actual, scores).cut(threshold)
    predicted = (scores >= np.float32(threshold)).astype(int)
    (tn, fp), (fn, tp) = sklearn_metrics.confusion_matrix(actual, predicted, labels=[0, 1])
    assert (cut.tp, cut.fp, cut.fn, cut.tn) == (tp, fp, fn, tn)
    expected = sklearn_metrics.precision_recall_fscore_support(
        actual, predicted, average="binary", zero_division=np.nan
    )
    assert (cut.precision, cut.recall) == pytest.approx(expected[:2], nan_ok=True)
    assert cut.f1 == pytest.approx(2 * tp / (2 * tp + fp + fn))


@given(scored())
def test_no_threshold_has_a_larger_f1_than_the_best(both: Scored) -> None:
    actual, scores = both[0], rounded(both[1])
    curve = curve_of(actual, scores)
    precision, recall, _ = sklearn_metrics.precision_recall_curve(actual, scores)
    largest = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-9))
    assert curve.best is not None
    assert curve.best.f1 == pytest.approx(largest)
    table = curve.table()
    assert [cut for cut in table if cut.is_best] == [
        cut for cut in table if np.float32(cut.threshold) == np.float32(curve.best.threshold)
    ]
    assert len([cut for cut in table if cut.is_best]) == 1
    assert [cut.threshold for cut in table] == sorted({cut.threshold for cut in table})
    assert len(table) in (99, 100)


def test_without_examples_of_one_kind_figures_are_undefined_and_the_table_is_there() -> None:
    none = ScoreCounts(2).curve(1)
    assert np.isnan([none.roc_auc, none.roc_auc_error, none.average_precision, none.average_precision_error]).all()
    assert none.best is None
    assert len(none.table()) == 99
    only_negative = curve_of(np.zeros(3, int), np.array([0.1, 0.2, 0.9]))
    assert np.isnan([only_negative.roc_auc, only_negative.average_precision]).all()
    only_positive = curve_of(np.ones(3, int), np.array([0.1, 0.2, 0.9]))
    assert np.isnan(only_positive.roc_auc)
    assert only_positive.average_precision == 1


@given(scored(both=False), st.integers(3, 5), st.lists(st.integers(0, 300), max_size=4), st.randoms())
@settings(max_examples=50)
def test_any_cut_and_any_order_of_merges_gives_the_same_counts(
    both: Scored, classes: int, cuts: list[int], order: Any
) -> None:
    scores = np.stack([both[1] / (classes - 1)] * (classes - 1) + [1 - both[1]], axis=1)

    def counted(start: int, end: int) -> ScoreCounts:
        counts = ScoreCounts(classes)
        counts.update(both[0][start:end], scores[start:end])
        return counts

    bounds = [0, *sorted(min(cut, len(scores)) for cut in cuts), len(scores)]
    parts = [json.dumps(counted(start, end).to_list()) for start, end in itertools.pairwise(bounds)]
    order.shuffle(parts)
    merged = ScoreCounts(classes)
    for part in parts:
        merged.merge(ScoreCounts.from_list(classes, json.loads(part)))
    assert merged.to_list() == counted(0, len(scores)).to_list()


@pytest.mark.parametrize(("classes", "counted"), [(1, 0), (2, 1), (3, 3), (MOST_CLASSES, MOST_CLASSES), (101, 0)])
def test_scores_are_counted_of_as_many_classes_as_it_pays(classes: int, counted: int) -> None:
    counts = ScoreCounts(classes)
    counts.update(np.array([0]), np.full((1, classes), 1 / classes))
    assert len(counts.classes) == len(counts.to_list()) == counted


@pytest.mark.parametrize(
    "listed",
    [
        [],
        [[[]]],
        [[[], []], [[], []]],
        [[[1], []]],
        [[[len(THRESHOLDS), 1], []]],
        [[[-1, 1], []]],
        [[[1, -1], []]],
        [[[1, 0.5], []]],
        [[[1, 1 << 60], []]],
    ],
)
def test_what_are_no_scores_is_refused(listed: Any) -> None:
    with pytest.raises(ConfigError):
        ScoreCounts.from_list(2, listed)
