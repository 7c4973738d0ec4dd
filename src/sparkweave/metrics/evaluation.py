"""How well a classifier does: counts that many tasks gather apart, and the figures computed from their sum.

Everything is kept as integers (the loss in units of 2**-32), so merging is exact: however Spark cuts and orders the
images, the same predictions give the same figures to the last bit.

The averages and the printed form follow ``org.nd4j.evaluation.classification.Evaluation`` of Deeplearning4j
(https://deeplearning4j.konduit.ai): a class whose precision is 0/0 (never predicted), whose recall is 0/0 (no
examples), or whose F1 needs one of these, is left out of that average; with two classes, F1 is that of the second.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparkweave.errors import ConfigError, DataError
from sparkweave.metrics import agreement, report
from sparkweave.metrics.agreement import Average
from sparkweave.metrics.calibration import Calibration
from sparkweave.metrics.counts import as_counts
from sparkweave.metrics.curve import Curve
from sparkweave.metrics.figures import figures_of
from sparkweave.metrics.scores import ScoreCounts

_LOSS_UNITS = 2**32
_SMALLEST_PROBABILITY = float(np.finfo(np.float32).tiny)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """One class's figures. A figure that would be 0/0 is NaN.

    Attributes:
        label: The class.
        name: What people call it; the label where it has no name.
        examples: Images that are of this class.
        predicted: Images that were classified as it.
        correct: Images of which both are true.
        precision: ``correct / predicted``.
        recall: ``correct / examples``.
        f1: Harmonic mean of the two.
    """

    label: str
    name: str
    examples: int
    predicted: int
    correct: int
    precision: float
    recall: float
    f1: float


class Evaluation:
    """Predictions counted against the truth.

    Attributes:
        left_out: Images that could not be used and were not counted.
        left_out_reasons: The first of them, each with its path and the reason.

    Example:
        >>> evaluation = Evaluation(["cat", "dog", "owl"], top_k=(1, 2))
        >>> evaluation.update(np.array([0, 1]), np.array([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1]]))
        >>> evaluation.accuracy, evaluation.top_k_accuracy(2)
        (0.5, 1.0)
    """

    def __init__(
        self, labels: Sequence[str], *, top_k: Sequence[int] = (1, 5), class_names: Mapping[str, str] | None = None
    ) -> None:
        """Starts with no examples.

        Args:
            labels: The classes in the order of the network's outputs.
            top_k: The ``k`` for which `top_k_accuracy` is counted; 1 is always among them.
            class_names: Names by label for the printed reports; a label without one stands for itself.

        Raises:
            ConfigError: if there is no label, or a ``k`` is below 1.
        """
        if not labels:
            raise ConfigError("an evaluation needs at least one label, got none")
        if any(type(k) is not int or k < 1 for k in top_k):
            raise ConfigError(f"top_k is {tuple(top_k)!r}; give whole numbers of at least 1")
        self.labels = tuple(labels)
        self.names = tuple((class_names or {}).get(label, label) for label in labels)
        self.top_k = tuple(sorted({1, *top_k}))
        self.confusion: npt.NDArray[np.int64] = np.zeros((len(labels), len(labels)), np.int64)
        """Examples by actual class (rows) and predicted class (columns), shape (C, C)."""
        self._hits = dict.fromkeys(self.top_k, 0)
        self._loss_units = 0
        self._scores = ScoreCounts(len(labels))
        self.calibration = Calibration()
        """How far probabilities can be believed."""
        self.left_out = 0
        self.left_out_reasons: tuple[str, ...] = ()

    def update(self, actual: npt.ArrayLike, probabilities: npt.ArrayLike) -> None:
        """Counts a batch.

        Args:
            actual: The true classes as indices into ``labels``, integers of shape (N,).
            probabilities: The network's outputs after softmax, floats of shape (N, C). The predicted class is the
                first one with the highest probability.

        Raises:
            DataError: if the shapes differ, an index is out of range, or a probability is not finite.
        """
        truth, scores = self._checked(np.asarray(actual), np.asarray(probabilities))
        if len(truth) == 0:
            return
        classes = len(self.labels)
        predicted = scores.argmax(axis=1)
        cells = truth * classes + predicted
        self.confusion += np.bincount(cells, minlength=classes * classes).reshape(classes, classes)
        of_truth = scores[np.arange(len(truth)), truth][:, None]
        earlier = np.arange(classes) < truth[:, None]
        # Ties are broken as argmax breaks them, so that top-1 is the accuracy.
        ranks = ((scores > of_truth) | ((scores == of_truth) & earlier)).sum(axis=1)
        for k in self.top_k:
            self._hits[k] += int((ranks < k).sum())
        losses = -np.log(np.maximum(of_truth.astype(np.float64), _SMALLEST_PROBABILITY))
        self._scores.update(truth, scores)
        self.calibration.update(scores[np.arange(len(truth)), predicted], predicted == truth)
        self._loss_units += int(np.rint(losses * _LOSS_UNITS).astype(np.int64).sum())

    def _checked(
        self, actual: npt.NDArray[Any], probabilities: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
        classes = len(self.labels)
        if actual.ndim != 1 or probabilities.shape != (len(actual), classes):
            raise DataError(
                f"actual has shape {actual.shape} and probabilities {probabilities.shape};"
                f" give (N,) and (N, {classes}), one column a label"
            )
        if len(actual) and not np.issubdtype(actual.dtype, np.integer):
            raise DataError(f"actual is of type {actual.dtype}; give class indices as integers")
        if len(actual) and not 0 <= int(actual.min()) <= int(actual.max()) < classes:
            raise DataError(f"actual has indices from {actual.min()} to {actual.max()}; the rule is 0 to {classes - 1}")
        bad = int((~np.isfinite(probabilities)).any(axis=1).sum())
        if bad:
            raise DataError(
                f"the network's output for {bad} of {len(actual)} images is not finite;"
                " it has diverged: train again with a lower learning rate"
            )
        return actual.astype(np.int64), probabilities

    def merge(self, other: Evaluation) -> None:
        """Adds what ``other`` counted; the order of merges makes no difference.

        Raises:
            ConfigError: if its labels or its ``top_k`` differ.
        """
        if (self.labels, self.top_k) != (other.labels, other.top_k):
            raise ConfigError(
                f"an evaluation of {len(other.labels)} labels with top_k {other.top_k} can't be merged into one of"
                f" {len(self.labels)} with top_k {self.top_k}; both must be the same"
            )
        self.confusion += other.confusion
        self._loss_units += other._loss_units
        self._scores.merge(other._scores)
        self.calibration.merge(other.calibration)
        for k in self.top_k:
            self._hits[k] += other._hits[k]

    @property
    def examples(self) -> int:
        """Images counted."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Share of images classified correctly; 0 before the first."""
        return self.top_k_accuracy(1)

    def top_k_accuracy(self, k: int) -> float:
        """Share of images whose class is among the ``k`` most probable ones; 0 before the first.

        Raises:
            ConfigError: if ``k`` was not asked for at the start.
        """
        if k not in self._hits:
            raise ConfigError(f"top-{k} was not counted; this evaluation has {', '.join(map(str, self.top_k))}")
        return self._hits[k] / self.examples if self.examples else 0.0

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats; NaN before the first image."""
        return self._loss_units / _LOSS_UNITS / self.examples if self.examples else math.nan

    @property
    def precision(self) -> float:
        """Mean over the classes that were predicted at least once; 0 before the first image."""
        return _mean([figures.precision for figures in self.classes]) if self.examples else 0.0

    @property
    def recall(self) -> float:
        """Mean over the classes that have examples; 0 before the first image."""
        return _mean([figures.recall for figures in self.classes]) if self.examples else 0.0

    @property
    def f1(self) -> float:
        """Mean over the classes that have examples and predictions; of the second class alone where there are two.

        NaN before the first image, or if there is no such class.
        """
        if len(self.labels) != 2:
            return _mean([figures.f1 for figures in self.classes])
        second = self.classes[1]
        if second.examples and second.predicted:
            return second.f1
        return 0.0 if second.examples or second.predicted else math.nan

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that have examples."""
        return self.recall

    @property
    def matthews_correlation(self) -> float:
        """Correlation of actual and predicted classes, from -1 to 1; 0 where either is always the same."""
        return agreement.matthews_correlation(self.confusion)

    @property
    def cohens_kappa(self) -> float:
        """Agreement beyond chance; NaN where chance alone agrees always."""
        return agreement.cohens_kappa(self.confusion)

    @property
    def macro(self) -> Average:
        """Averages in which each class counts the same, by scikit-learn's rule that 0/0 is 0."""
        return agreement.macro_average(self.confusion)

    @property
    def weighted(self) -> Average:
        """Averages in which each class counts as much as it has examples."""
        return agreement.weighted_average(self.confusion)

    @property
    def binary(self) -> Curve | None:
        """With two classes, the curves of the second one's probability; else None.

        At a threshold of 0.5 they may differ from `confusion`, where two equal probabilities make the first class.
        """
        return self._scores.curve(1) if len(self.labels) == 2 else None

    def curve(self, label: str) -> Curve:
        """The curves of one class's probability, of its examples against all others.

        Raises:
            ConfigError: if the scores of this class are not counted: there are more than 100 classes, or it is the first of two.
        """
        if label not in self.labels or self.labels.index(label) not in self._scores.classes:
            raise ConfigError(
                f"scores of {label!r:.80} were not counted; they are of up to 100 classes, of two classes the second"
            )
        return self._scores.curve(self.labels.index(label))

    @property
    def roc_auc(self) -> float:
        """Area under the ROC curve: with two classes the second one's, with more the mean of each one against all others.

        NaN where no class has examples of both kinds, and with more than 100 classes.
        """
        return _mean([self._scores.curve(position).roc_auc for position in self._scores.classes])

    @property
    def classes(self) -> list[ClassFigures]:
        """Each class's figures, in the order of ``labels``."""
        columns = (self.confusion.sum(axis=1), self.confusion.sum(axis=0), self.confusion.diagonal())
        rows = zip(self.labels, self.names, *(column.tolist() for column in columns), strict=True)
        return [_figures(*row) for row in rows]

    def to_dict(self) -> dict[str, Any]:
        """The counts as plain data, for `from_dict`."""
        return {
            "labels": list(self.labels),
            "top_k": list(self.top_k),
            "confusion": self.confusion.tolist(),
            "hits": [self._hits[k] for k in self.top_k],
            "loss_units": self._loss_units,
            "scores": self._scores.to_list(),
            "calibration": self.calibration.to_dict(),
        }

    @classmethod
    def from_dict(cls, counts: Mapping[str, Any], *, class_names: Mapping[str, str] | None = None) -> Evaluation:
        """The inverse of `to_dict`, which has no ``class_names``."""
        evaluation = cls(counts["labels"], top_k=counts["top_k"], class_names=class_names)
        classes = len(evaluation.labels)
        evaluation.confusion = as_counts(counts["confusion"], name="confusion", shape=(classes, classes))
        evaluation._hits.update(zip(evaluation.top_k, counts["hits"], strict=True))
        evaluation._loss_units = counts["loss_units"]
        evaluation._scores = ScoreCounts.from_list(classes, counts["scores"])
        evaluation.calibration = Calibration.from_dict(counts["calibration"])
        return evaluation

    def to_json(self) -> str:
        """All figures as a JSON object; those that are 0/0 are null."""
        return json.dumps(figures_of(self), indent=2, allow_nan=False)

    def stats(self) -> str:
        """The report that Deeplearning4j's ``Evaluation.stats()`` prints."""
        return report.stats(self)

    def class_table(self) -> str:
        """Each class's figures as a table for a terminal."""
        return report.class_table(self)

    def summary(self) -> str:
        """Further figures as lines for a terminal; with two classes also a table of thresholds."""
        return report.summary(self)


def _figures(label: str, name: str, examples: int, predicted: int, correct: int) -> ClassFigures:
    precision, recall = _ratio(correct, predicted), _ratio(correct, examples)
    f1 = math.nan if math.isnan(precision + recall) else 2 * correct / (examples + predicted)
    return ClassFigures(
        label=label,
        name=name,
        examples=examples,
        predicted=predicted,
        correct=correct,
        precision=precision,
        recall=recall,
        f1=f1,
    )


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _mean(figures: Sequence[float]) -> float:
    defined = [figure for figure in figures if not math.isnan(figure)]
    return math.fsum(defined) / len(defined) if defined else math.nan
