"""How often each class got which score, when an example was of it and when not: what ROC and PR curves are drawn from.

Scores are counted between fixed thresholds, so that counts of tasks that know nothing of each other can be added up. Probabilities
crowd at 0 and 1: from 0.5 on towards each end, each halving of the distance to it has `STEPS` thresholds at even distances, down to
2**-24 (beyond it float32 has no number below 1). So neighbours are no further apart than 1/128 of the distance to the nearer end, or float32's own step.
All whole percents are thresholds too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparkweave.errors import ConfigError
from sparkweave.metrics.counts import as_counts
from sparkweave.metrics.curve import Curve

STEPS = 128
"""Thresholds within a halving of the distance to 0 or 1."""

MOST_CLASSES = 100
"""With more classes scores are not counted: a class's counts are 80 kB."""

_HALVINGS = 24


def _thresholds() -> npt.NDArray[np.float32]:
    """From 0 to 1, rising."""
    halvings = 2.0 ** -np.arange(2, _HALVINGS + 1)
    near = (halvings[:, None] * (1 + np.arange(STEPS) / STEPS)).ravel()
    percents = np.arange(101) / 100
    return np.unique(np.concatenate([near, 1 - near, percents]).astype(np.float32))


THRESHOLDS = _thresholds()
"""A score is counted at the highest of these that is not above it; float32."""


class ScoreCounts:
    """Scores counted by class, by whether the example was of the class, and by threshold.

    Of two classes only the second one's are counted: the first one's are what is left to 1.

    Attributes:
        classes: Positions of the classes whose scores are counted.

    Example:
        >>> scores = ScoreCounts(2)
        >>> scores.update(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]))
        >>> scores.curve(1).roc_auc
        1.0
    """

    def __init__(self, classes: int) -> None:
        """Starts with no scores.

        Args:
            classes: How many columns probabilities have.
        """
        counted = range(1, 2) if classes == 2 else range(classes if 2 < classes <= MOST_CLASSES else 0)
        self.classes: Sequence[int] = counted
        self._counts = np.zeros((len(counted), 2, len(THRESHOLDS)), np.int64)

    def update(self, actual: npt.NDArray[Any], probabilities: npt.NDArray[Any]) -> None:
        """Counts a batch: true classes (N,) and finite probabilities (N, classes); what is outside of 0 to 1 counts as the end."""
        positions = np.array(self.classes, np.int64)
        scores = np.clip(probabilities[:, positions].astype(np.float32), 0, 1)
        bins = np.searchsorted(THRESHOLDS, scores, side="right") - 1
        rows = 2 * np.arange(len(positions)) + (actual[:, None] == positions)
        np.add.at(self._counts.reshape(-1), (rows * len(THRESHOLDS) + bins).ravel(), 1)

    def merge(self, other: ScoreCounts) -> None:
        """Adds what ``other``, of as many classes, counted."""
        self._counts += other._counts

    def curve(self, position: int) -> Curve:
        """Of the class at ``position``, one of `classes`, against all others."""
        negatives, positives = self._counts[self.classes.index(position)]
        return Curve.of(THRESHOLDS, positives, negatives)

    def to_list(self) -> list[list[list[int]]]:
        """For each class the scores of other classes' and of its own examples, as threshold's position and count in turns."""
        return [[_sparse(counts) for counts in of_class] for of_class in self._counts]

    @classmethod
    def from_list(cls, classes: int, listed: Sequence[Sequence[Sequence[int]]]) -> ScoreCounts:
        """The inverse of `to_list`.

        Raises:
            ConfigError: if it isn't of as many classes, or not counts.
        """
        scores = cls(classes)
        if len(listed) != len(scores.classes) or any(len(of_class) != 2 for of_class in listed):
            raise ConfigError(
                f"scores of {len(listed)} classes are none of {classes} classes; two lists for each of them belong here"
            )
        for of_class, lists in zip(scores._counts, listed, strict=True):
            for counts, pairs in zip(of_class, lists, strict=True):
                _fill(counts, pairs)
        return scores


def _sparse(counts: npt.NDArray[np.int64]) -> list[int]:
    (found,) = counts.nonzero()
    pairs: list[int] = np.stack([found, counts[found]], axis=1).ravel().tolist()
    return pairs


def _fill(counts: npt.NDArray[np.int64], pairs: Sequence[int]) -> None:
    half = (len(pairs) // 2,)
    places = as_counts(pairs[::2], name="thresholds of scores", shape=half, largest=len(counts) - 1)
    counts[places] = as_counts(pairs[1::2], name="scores", shape=half)
