"""Figures of predicted numbers: against scikit-learn and torchmetrics, and merged in any order."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics import functional

from sparkweave.errors import ConfigError, DataError
from sparkweave.metrics.exact_sum import ExactSum
from sparkweave.metrics.regression import RegressionEvaluation

FINITE = st.floats(allow_nan=False, allow_infinity=False)
MODEST = st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(MODEST.map(lambda value: round(value, 9)), MODEST.map(lambda value: round(value, 9)))))
def test_products_are_exact(pairs: list[tuple[float, float]]) -> None:
    total = ExactSum()
    first, second = (np.array([pair[side] for pair in pairs], np.float64) for side in (0, 1))
    total.add_products(first, second)
    assert total.fraction() == sum((Fraction(a) * Fraction(b) for a, b in pairs), Fraction(0))


def evaluated(actual: np.ndarray, predicted: np.ndarray) -> RegressionEvaluation:
    evaluation = RegressionEvaluation()
    evaluation.update(actual, predicted)
    return evaluation


@given(st.lists(FINITE))
def test_sums_are_exact(values: list[float]) -> None:
    total = ExactSum()
    total.add(np.array(values, np.float64))
    assert total.fraction() == sum(map(Fraction, values), Fraction(0))


@given(st.lists(st.tuples(MODEST, MODEST), min_size=1), st.randoms())
def test_merging_any_parts_in_any_order_is_one_update(pairs: list[tuple[float, float]], random: object) -> None:
    actual, predicted = np.array(pairs).T
    parts = [evaluated(actual[start : start + 3], predicted[start : start + 3]) for start in range(0, len(pairs), 3)]
    random.shuffle(parts)  # type: ignore[attr-defined]
    total = RegressionEvaluation()
    for part in parts:
        total.merge(RegressionEvaluation.from_dict(json.loads(json.dumps(part.to_dict()))))
    assert total.to_dict() == evaluated(actual, predicted).to_dict()


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_figures_are_those_of_scikit_learn_and_torchmetrics(offset: float) -> None:
    generator = np.random.default_rng(0)
    actual = generator.normal(size=500) + offset
    predicted = actual + 0.3 * generator.normal(size=500) + 0.2
    (figures,) = evaluated(actual, predicted).figures
    assert figures.mse == pytest.approx(sklearn.metrics.mean_squared_error(actual, predicted))
    assert figures.mae == pytest.approx(sklearn.metrics.mean_absolute_error(actual, predicted))
    assert figures.rmse == pytest.approx(sklearn.metrics.root_mean_squared_error(actual, predicted))
    assert figures.r2 == pytest.approx(sklearn.metrics.r2_score(actual, predicted), rel=1e-6)
    assert figures.explained_variance == pytest.approx(
        sklearn.metrics.explained_variance_score(actual, predicted), rel=1e-6
    )
    assert figures.correlation == pytest.approx(np.corrcoef(actual, predicted)[0, 1], rel=1e-6)
    pair = torch.from_numpy(predicted), torch.from_numpy(actual)
    assert figures.rse == pytest.approx(functional.relative_squared_error(*pair).item(), rel=1e-4)
    assert figures.mse == pytest.approx(functional.mean_squared_error(*pair).item())


def test_several_outputs_have_figures_of_their_own() -> None:
    evaluation = RegressionEvaluation(["a", "b"])
    evaluation.update([[1.0, 0.0], [2.0, 0.0]], [[1.0, 2.0], [2.0, 2.0]])
    assert [figures.mse for figures in evaluation.figures] == [0.0, 4.0]
    assert evaluation.loss == 2.0
    lines = evaluation.stats().splitlines()
    assert lines[0].split() == ["Column", "MSE", "MAE", "RMSE", "RSE", "PC", "R^2"]
    assert lines[2].split()[:3] == ["b", "4.00000e+00", "2.00000e+00"]
    assert json.loads(evaluation.to_json())["outputs"][1]["r2"] is None


def test_without_examples_there_are_no_figures() -> None:
    assert math.isnan(RegressionEvaluation().loss)
    assert math.isnan(RegressionEvaluation().r2)


def test_what_cannot_be_counted_is_refused() -> None:
    evaluation = RegressionEvaluation()
    with pytest.raises(DataError, match=r"actual has shape \(2, 2\); give \(N, 1\)"):
        evaluation.update([[1.0, 2.0], [1.0, 2.0]], [1.0, 2.0])
    with pytest.raises(DataError, match=r"predicted has 1 of 2 rows that are not finite"):
        evaluation.update([1.0, 2.0], [1.0, math.nan])
    with pytest.raises(DataError, match=r"numbers of up to 1e\+200; the rule is 1e\+140"):
        evaluation.update([1e200], [1.0])
    with pytest.raises(DataError, match="both must be the same"):
        evaluation.update([1.0, 2.0], [1.0])
    with pytest.raises(ConfigError, match="can't be merged"):
        evaluation.merge(RegressionEvaluation(["other"]))
    with pytest.raises(ConfigError, match="at least one output"):
        RegressionEvaluation([])
    assert evaluation.examples == 0
