"""Figures of a confusion matrix as a whole, as scikit-learn defines them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True, kw_only=True)
class Average:
    """Precision, recall and F1, averaged over the classes that have examples or predictions; 0/0 counts as 0."""

    precision: float
    recall: float
    f1: float


def matthews_correlation(confusion: npt.NDArray[np.int64]) -> float:
    """Matthews correlation of actual and predicted classes, from -1 to 1; 0 where either is always the same."""
    total, correct, actual, predicted = _sums(confusion)
    spread = (total**2 - _dot(actual, actual)) * (total**2 - _dot(predicted, predicted))
    return (correct * total - _dot(actual, predicted)) / math.sqrt(spread) if spread else 0.0


def cohens_kappa(confusion: npt.NDArray[np.int64]) -> float:
    """Agreement of actual and predicted classes beyond what chance would give; NaN where chance alone agrees always."""
    total, correct, actual, predicted = _sums(confusion)
    by_chance = _dot(actual, predicted)
    return (correct * total - by_chance) / (total**2 - by_chance) if total**2 != by_chance else math.nan


def macro_average(confusion: npt.NDArray[np.int64]) -> Average:
    """Each class counts the same."""
    actual, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    return _average(confusion, (actual + predicted > 0).astype(np.int64))


def weighted_average(confusion: npt.NDArray[np.int64]) -> Average:
    """Each class counts as much as it has examples."""
    return _average(confusion, confusion.sum(axis=1))


def _average(confusion: npt.NDArray[np.int64], weights: npt.NDArray[np.int64]) -> Average:
    correct, actual, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    parts = {"precision": (correct, predicted), "recall": (correct, actual), "f1": (2 * correct, actual + predicted)}
    total = int(weights.sum())
    means = {
        name: math.fsum((weights * share / np.maximum(whole, 1)).tolist()) / total if total else math.nan
        for name, (share, whole) in parts.items()
    }
    return Average(**means)


def _sums(confusion: npt.NDArray[np.int64]) -> tuple[int, int, list[int], list[int]]:
    """Examples, correct ones, and by class the examples and the predictions."""
    actual, predicted = confusion.sum(axis=1).tolist(), confusion.sum(axis=0).tolist()
    return int(confusion.sum()), int(confusion.trace()), actual, predicted


def _dot(left: Sequence[int], right: Sequence[int]) -> int:
    """In whole numbers of any size."""
    return sum(a * b for a, b in zip(left, right, strict=True))
