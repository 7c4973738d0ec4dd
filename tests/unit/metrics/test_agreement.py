"""Figures of the whole confusion matrix are scikit-learn's and torchmetrics'."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparkweave.metrics.agreement import cohens_kappa, macro_average, matthews_correlation, weighted_average

sklearn_metrics = pytest.importorskip("sklearn.metrics")
torchmetrics = pytest.importorskip("torchmetrics.functional.classification")


@st.composite
def labelled(draw: st.DrawFn) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """Actual and predicted classes, some of them never."""
    classes = draw(st.integers(2, 6))
    pairs = draw(st.lists(st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1)), min_size=1, max_size=60))
    actual, predicted = np.array(pairs).T
    return actual, predicted, classes


def confusion_of(actual: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], classes: int) -> Any:
    return sklearn_metrics.confusion_matrix(actual, predicted, labels=range(classes))


@given(labelled())
def test_correlation_and_kappa(case: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]) -> None:
    actual, predicted, classes = case
    confusion = confusion_of(*case)
    if len(np.unique([actual, predicted])) == 1:
        assert math.isnan(cohens_kappa(confusion))
        assert matthews_correlation(confusion) == 0
        return
    tensors = torch.from_numpy(predicted), torch.from_numpy(actual)
    assert matthews_correlation(confusion) == pytest.approx(sklearn_metrics.matthews_corrcoef(actual, predicted))
    if len(np.unique(actual)) > 1 and len(np.unique(predicted)) > 1:  # elsewhere torchmetrics has rules of its own
        found = torchmetrics.multiclass_matthews_corrcoef(*tensors, num_classes=classes)
        assert matthews_correlation(confusion) == pytest.approx(float(found), abs=1e-5)
    assert cohens_kappa(confusion) == pytest.approx(sklearn_metrics.cohen_kappa_score(actual, predicted))
    found = torchmetrics.multiclass_cohen_kappa(*tensors, num_classes=classes)
    assert cohens_kappa(confusion) == pytest.approx(float(found), abs=1e-5)


@given(labelled())
def test_averages(case: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]) -> None:
    actual, predicted, classes = case
    tensors = torch.from_numpy(predicted), torch.from_numpy(actual)
    for name, average in (("macro", macro_average), ("weighted", weighted_average)):
        found = dataclasses.astuple(average(confusion_of(*case)))
        options: dict[str, Any] = {"average": name, "zero_division": 0}
        expected = sklearn_metrics.precision_recall_fscore_support(actual, predicted, **options)
        assert found == pytest.approx(expected[:3])
        for value, figure in zip(found, ("precision", "recall", "f1_score"), strict=True):
            function = getattr(torchmetrics, f"multiclass_{figure}")
            theirs = function(*tensors, num_classes=classes, average=name)
            assert value == pytest.approx(float(theirs), abs=1e-5), (name, figure)


def test_without_examples_averages_are_undefined() -> None:
    nothing = np.zeros((3, 3), np.int64)
    assert all(math.isnan(value) for value in dataclasses.astuple(macro_average(nothing)))
    assert all(math.isnan(value) for value in dataclasses.astuple(weighted_average(nothing)))
    assert matthews_correlation(nothing) == 0
    assert math.isnan(cohens_kappa(nothing))


def test_large_counts_do_not_overflow() -> None:
    small = np.array([[5, 1, 0], [2, 7, 1], [0, 0, 3]])
    large = small * (1 << 40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert matthews_correlation(large) == pytest.approx(matthews_correlation(small))
        assert cohens_kappa(large) == pytest.approx(cohens_kappa(small))
