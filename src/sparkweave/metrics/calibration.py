"""Whether predictions are as often right as their probability says: examples counted by the probability of the predicted class."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparkweave.metrics.counts import as_counts

BINS = 15
"""Of equal width, as in most papers (https://arxiv.org/abs/1706.04599)."""

_UNITS = 2**32
_EDGES = np.linspace(0, 1, BINS + 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Predictions with a confidence (the probability of the predicted class) from ``low`` to below ``high``.

    Attributes:
        low: Where it begins.
        high: Where it ends.
        examples: How many there are, at least one.
        confidence: Their mean confidence.
        accuracy: The share of them that are right.
    """

    low: float
    high: float
    examples: int
    confidence: float
    accuracy: float


class Calibration:
    """Confidences and hits, counted in bins. Sums are whole numbers (confidences in units of 2**-32), so merging is exact."""

    def __init__(self) -> None:
        """Starts with no examples."""
        self._examples, self._correct, self._confidence = (np.zeros(BINS, np.int64) for _ in range(3))

    def update(self, confidences: npt.NDArray[Any], correct: npt.NDArray[np.bool_]) -> None:
        """Counts a batch of finite confidences (N,), and whether each prediction was right (N,)."""
        confidences = np.clip(confidences.astype(np.float64), 0, 1)
        bins = np.minimum(np.searchsorted(_EDGES, confidences, side="right") - 1, BINS - 1)
        self._examples += np.bincount(bins, minlength=BINS)
        self._correct += np.bincount(bins[correct], minlength=BINS)
        np.add.at(self._confidence, bins, np.rint(confidences * _UNITS).astype(np.int64))

    def merge(self, other: Calibration) -> None:
        """Adds what ``other`` counted."""
        self._examples += other._examples
        self._correct += other._correct
        self._confidence += other._confidence

    @property
    def bins(self) -> list[ReliabilityBin]:
        """Those that have examples, by rising confidence."""
        rows = zip(self._examples.tolist(), self._correct.tolist(), self._confidence.tolist(), strict=True)
        return [
            ReliabilityBin(
                low=float(_EDGES[number]),
                high=float(_EDGES[number + 1]),
                examples=examples,
                confidence=confidence / _UNITS / examples,
                accuracy=correct / examples,
            )
            for number, (examples, correct, confidence) in enumerate(rows)
            if examples
        ]

    @property
    def error(self) -> float:
        """The expected calibration error: the mean difference of confidence and accuracy; NaN before the first example."""
        total = int(self._examples.sum())
        gaps = [each.examples * abs(each.confidence - each.accuracy) for each in self.bins]
        return math.fsum(gaps) / total if total else math.nan

    def to_dict(self) -> dict[str, list[int]]:
        """The counts as plain data, for `from_dict`."""
        return {
            "examples": self._examples.tolist(),
            "correct": self._correct.tolist(),
            "confidence": self._confidence.tolist(),
        }

    @classmethod
    def from_dict(cls, counts: Mapping[str, Sequence[int]]) -> Calibration:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: if these are no counts of as many bins.
        """
        calibration = cls()
        calibration._examples = as_counts(counts["examples"], name="examples", shape=(BINS,))
        calibration._correct = as_counts(counts["correct"], name="correct", shape=(BINS,))
        calibration._confidence = as_counts(
            counts["confidence"], name="confidence", shape=(BINS,), largest=(1 << 63) - 1
        )
        return calibration
