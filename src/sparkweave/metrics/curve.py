"""ROC and precision-recall curves, and a table of thresholds, from scores counted between fixed thresholds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

PERCENTS = tuple(number / 100 for number in range(1, 100))
"""The thresholds of a full table."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cut:
    """What comes of calling positive whatever scores at least ``threshold``. A figure that would be 0/0 is NaN."""

    threshold: float
    tp: int
    fp: int
    fn: int
    tn: int
    precision: float
    recall: float
    f1: float
    is_best: bool = False


@dataclasses.dataclass(frozen=True)
class Curve:
    """Counts at falling thresholds, only those at which something is counted.

    Scores that are counted at one threshold can't be told apart; `roc_auc` counts pairs of them half, and `average_precision` takes
    them as one step, as scikit-learn does with equal scores. The figures of the very scores differ from these by at most
    `roc_auc_error` and `average_precision_error`, which follow from the counts.

    Attributes:
        thresholds: Falling, shape (T,).
        tp: Positive examples that score at least as much, shape (T,).
        fp: Negative ones.
    """

    thresholds: Floats
    tp: Counts
    fp: Counts

    @classmethod
    def of(cls, thresholds: npt.NDArray[np.float32], positives: Counts, negatives: Counts) -> Curve:
        """From counts by rising ``thresholds``."""
        falling = (positives + negatives).nonzero()[0][::-1]
        return cls(thresholds[falling].astype(np.float64), positives[falling].cumsum(), negatives[falling].cumsum())

    @property
    def positives(self) -> int:
        """All positive examples."""
        return int(self.tp[-1]) if len(self.tp) else 0

    @property
    def negatives(self) -> int:
        """All negative examples."""
        return int(self.fp[-1]) if len(self.fp) else 0

    @property
    def roc(self) -> tuple[Floats, Floats]:
        """False and true positive rates, from (0, 0) to (1, 1); NaN where there are none of one kind."""
        return _shares(self.fp, self.negatives), _shares(self.tp, self.positives)

    @property
    def precision_recall(self) -> tuple[Floats, Floats]:
        """Precision at each threshold, 1 before the first, and recall."""
        return np.concatenate([[1.0], self.tp / (self.tp + self.fp)]), _shares(self.tp, self.positives)

    @property
    def roc_auc(self) -> float:
        """The area under the ROC curve: how probably a positive example scores more than a negative one."""
        both_sides = 2 * self.tp - _gains(self.tp)
        return _ratio(_dot(_gains(self.fp), both_sides), 2 * self.positives * self.negatives)

    @property
    def roc_auc_error(self) -> float:
        """By how much `roc_auc` of the very scores may differ."""
        return _ratio(_dot(_gains(self.tp), _gains(self.fp)), 2 * self.positives * self.negatives)

    @property
    def average_precision(self) -> float:
        """Mean precision over the positive examples; NaN where there are none."""
        return _mean(_gains(self.tp) * self.tp / (self.tp + self.fp), self.positives)

    @property
    def average_precision_error(self) -> float:
        """By how much `average_precision` of the very scores may differ.

        The most is if at each threshold all positive examples come first, all at once; the least if they come last, one by one, where
        an integral bounds the sum of precisions.
        """
        gains, before = _gains(self.tp), self.tp - _gains(self.tp)
        most = _mean(gains * self.tp / np.maximum(self.tp + self.fp - _gains(self.fp), 1), self.positives)
        start = np.maximum(before + self.fp, 1)
        least = _mean(gains - self.fp * np.log((start + gains) / start), self.positives)
        return max(most - self.average_precision, self.average_precision - least)

    @property
    def best(self) -> Cut | None:
        """Where F1 is largest, the highest such threshold; None where there is no positive example."""
        if not self.positives:
            return None
        place = int(np.argmax(2 * self.tp / (self.positives + self.tp + self.fp)))
        return dataclasses.replace(self.cut(float(self.thresholds[place])), is_best=True)

    def cut(self, threshold: float) -> Cut:
        """At ``threshold``, which is exact for those of `sparkweave.metrics.scores.THRESHOLDS`, whole percents among them."""
        above = int((self.thresholds >= np.float32(threshold)).sum())
        tp, fp = (int(counts[above - 1]) if above else 0 for counts in (self.tp, self.fp))
        return Cut(
            threshold=threshold,
            tp=tp,
            fp=fp,
            fn=self.positives - tp,
            tn=self.negatives - fp,
            precision=_ratio(tp, tp + fp),
            recall=_ratio(tp, self.positives),
            f1=_ratio(2 * tp, self.positives + tp + fp),
        )

    def table(self, thresholds: Iterable[float] = PERCENTS) -> list[Cut]:
        """The cuts at ``thresholds`` and the best one, rising."""
        cuts = {np.float32(threshold): self.cut(threshold) for threshold in thresholds}
        if best := self.best:
            shown = cuts.get(np.float32(best.threshold), best).threshold
            cuts[np.float32(best.threshold)] = dataclasses.replace(best, threshold=shown)
        return [cuts[threshold] for threshold in sorted(cuts)]


def _gains(counts: Counts) -> Counts:
    return np.diff(counts, prepend=0)


def _shares(counts: Counts, whole: int) -> Floats:
    """From 0 on."""
    from_zero = np.concatenate([[0], counts]).astype(np.float64)
    return from_zero / whole if whole else np.full_like(from_zero, math.nan)


def _dot(left: Counts, right: Counts) -> int:
    """In whole numbers of any size."""
    return sum(a * b for a, b in zip(left.tolist(), right.tolist(), strict=True))


def _mean(parts: Floats, count: int) -> float:
    return math.fsum(parts.tolist()) / count if count else math.nan


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
