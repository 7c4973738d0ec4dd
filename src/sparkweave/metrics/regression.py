"""How well numbers are predicted: sums that many tasks gather apart, and the figures computed from them.

All sums are exact (`sparkweave.metrics.exact_sum`), so however Spark cuts and orders the examples, the same predictions give the
same figures to the last bit, and variances don't suffer from large means. The printed form follows
``org.nd4j.evaluation.regression.RegressionEvaluation`` of Deeplearning4j (https://deeplearning4j.konduit.ai).
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from sparkweave.errors import ConfigError, DataError
from sparkweave.metrics.error_counts import ErrorCounts
from sparkweave.metrics.exact_sum import ExactSum

_LARGEST = 1e140
_SUMS = ("actual", "actual_squares", "predicted", "predicted_squares", "products", "errors", "absolute", "squares")


@dataclasses.dataclass(frozen=True, kw_only=True)
class NumberFigures:
    """The figures of one output. A figure that would be 0/0 is NaN.

    Attributes:
        name: Of the output.
        examples: How many were predicted.
        mse: Mean squared error.
        mae: Mean absolute error.
        rmse: Root of the mean squared error.
        rse: Relative squared error: the squared errors against those of predicting the mean.
        correlation: Pearson's, of actual and predicted numbers.
        r2: Coefficient of determination, ``1 - rse``.
        explained_variance: As ``r2``, but an error that all predictions share does not count.
    """

    name: str
    examples: int
    mse: float
    mae: float
    rmse: float
    rse: float
    correlation: float
    r2: float
    explained_variance: float


class RegressionEvaluation:
    """Predicted numbers against the truth.

    Attributes:
        left_out: Examples that could not be used and were not counted.
        left_out_reasons: The first of them, each with its path and the reason.
        error_counts: How large the absolute errors of each output are.

    Example:
        >>> evaluation = RegressionEvaluation()
        >>> evaluation.update(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0]))
        >>> round(evaluation.figures[0].mae, 4), evaluation.r2
        (0.3333, 0.5)
    """

    def __init__(self, names: Sequence[str] = ("prediction",)) -> None:
        """Starts with no examples.

        Args:
            names: Of the outputs.

        Raises:
            ConfigError: if there is none.
        """
        if not names:
            raise ConfigError("an evaluation needs at least one output, got none")
        self.names = tuple(names)
        self.examples = 0
        self.left_out = 0
        self.left_out_reasons: tuple[str, ...] = ()
        self.error_counts = tuple(ErrorCounts() for _ in names)
        self._sums = [{name: ExactSum() for name in _SUMS} for _ in names]

    def update(self, actual: npt.ArrayLike, predicted: npt.ArrayLike) -> None:
        """Counts a batch.

        Args:
            actual: The true numbers, floats of shape (N, outputs), or (N,) where there is one output.
            predicted: The network's, of the same shape.

        Raises:
            DataError: if the shapes differ, or a number is not finite.
        """
        truth, found = (self._checked(name, values) for name, values in (("actual", actual), ("predicted", predicted)))
        if truth.shape != found.shape:
            raise DataError(f"actual has shape {truth.shape} and predicted {found.shape}; both must be the same")
        self.examples += len(truth)
        for sums, counts, true, guess in zip(self._sums, self.error_counts, truth.T, found.T, strict=True):
            error = guess - true
            counts.update(np.abs(error))
            for name, values in (
                ("actual", true),
                ("predicted", guess),
                ("errors", error),
                ("absolute", np.abs(error)),
            ):
                sums[name].add(values)
            for name, first, second in (
                ("actual_squares", true, true),
                ("predicted_squares", guess, guess),
                ("products", true, guess),
                ("squares", error, error),
            ):
                sums[name].add_products(first, second)

    def _checked(self, name: str, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        array = np.asarray(values, np.float64)
        array = array[:, None] if array.ndim == 1 and len(self.names) == 1 else array
        if array.ndim != 2 or array.shape[1] != len(self.names):
            raise DataError(f"{name} has shape {array.shape}; give (N, {len(self.names)})")
        if not np.isfinite(array).all():
            raise DataError(
                f"{name} has {int((~np.isfinite(array)).any(axis=1).sum())} of {len(array)} rows that are not finite;"
                " if these are predictions, train again with a lower learning rate"
            )
        if len(array) and np.abs(array).max() > _LARGEST:
            raise DataError(f"{name} has numbers of up to {np.abs(array).max():g}; the rule is {_LARGEST:g}")
        return array

    def merge(self, other: RegressionEvaluation) -> None:
        """Adds what ``other`` counted; the order of merges makes no difference.

        Raises:
            ConfigError: if its outputs differ.
        """
        if self.names != other.names:
            raise ConfigError(f"an evaluation of {other.names} can't be merged into one of {self.names}")
        self.examples += other.examples
        for counts, others in zip(self.error_counts, other.error_counts, strict=True):
            counts.merge(others)
        for mine, theirs in zip(self._sums, other._sums, strict=True):
            for name in _SUMS:
                mine[name].units += theirs[name].units

    @property
    def figures(self) -> list[NumberFigures]:
        """Of each output."""
        return [self._figures(name, sums) for name, sums in zip(self.names, self._sums, strict=True)]

    @property
    def loss(self) -> float:
        """The mean squared error, averaged over the outputs; NaN before the first example."""
        return _mean([each.mse for each in self.figures])

    @property
    def mae(self) -> float:
        """The mean absolute error, averaged over the outputs; NaN before the first example."""
        return _mean([each.mae for each in self.figures])

    @property
    def r2(self) -> float:
        """The coefficient of determination, averaged over the outputs."""
        return _mean([each.r2 for each in self.figures])

    def _figures(self, name: str, sums: Mapping[str, ExactSum]) -> NumberFigures:
        count = self.examples
        total = {key: value.fraction() for key, value in sums.items()}
        mse = _ratio(total["squares"], Fraction(count))
        spread = _spread(total["actual_squares"], total["actual"], total["actual"], count)
        guessed = _spread(total["predicted_squares"], total["predicted"], total["predicted"], count)
        together = _spread(total["products"], total["actual"], total["predicted"], count)
        unshared = _spread(total["squares"], total["errors"], total["errors"], count)
        rse = _ratio(total["squares"], spread)
        return NumberFigures(
            name=name,
            examples=count,
            mse=mse,
            mae=_ratio(total["absolute"], Fraction(count)),
            rmse=math.sqrt(mse) if count else math.nan,
            rse=rse,
            correlation=_correlation(together, spread, guessed),
            r2=1 - rse,
            explained_variance=1 - _ratio(unshared, spread),
        )

    def to_dict(self) -> dict[str, Any]:
        """The sums and counts as plain data, for `from_dict`."""
        sums = [{name: str(value.units) for name, value in each.items()} for each in self._sums]
        counts = [each.to_list() for each in self.error_counts]
        return {"names": list(self.names), "examples": self.examples, "sums": sums, "error_counts": counts}

    @classmethod
    def from_dict(cls, counts: Mapping[str, Any]) -> RegressionEvaluation:
        """The inverse of `to_dict`."""
        evaluation = cls(counts["names"])
        evaluation.examples = counts["examples"]
        evaluation._sums = [
            {name: ExactSum(int(each[name])) for name in _SUMS}
            for _, each in zip(evaluation.names, counts["sums"], strict=True)
        ]
        evaluation.error_counts = tuple(
            ErrorCounts.from_list(each) for _, each in zip(evaluation.names, counts["error_counts"], strict=True)
        )
        return evaluation

    def to_json(self) -> str:
        """All figures as a JSON object; those that are 0/0 are null."""
        figures = {
            "examples": self.examples,
            "left_out": self.left_out,
            "left_out_reasons": list(self.left_out_reasons),
            "outputs": [
                {name: _finite(value) for name, value in dataclasses.asdict(each).items()} for each in self.figures
            ],
        }
        return json.dumps(figures, indent=2, allow_nan=False)

    def stats(self) -> str:
        """The report that Deeplearning4j's ``RegressionEvaluation.stats()`` prints."""
        heads = ("MSE", "MAE", "RMSE", "RSE", "PC", "R^2")
        width = max(len("Column"), *map(len, self.names)) + 4
        lines = ["Column".ljust(width) + "".join(head.ljust(15) for head in heads)]
        for each in self.figures:
            values = (each.mse, each.mae, each.rmse, each.rse, each.correlation, each.r2)
            lines.append(each.name.ljust(width) + "".join(f"{value:.5e}".ljust(15) for value in values))
        return "\n".join(line.rstrip() for line in lines)


def _spread(products: Fraction, first: Fraction, second: Fraction, count: int) -> Fraction:
    """The sum of the products of both columns' differences from their means."""
    return products - first * second / count if count else Fraction(0)


def _correlation(together: Fraction, first: Fraction, second: Fraction) -> float:
    if first <= 0 or second <= 0:
        return math.nan
    return max(-1.0, min(1.0, float(together) / math.sqrt(float(first)) / math.sqrt(float(second))))


def _ratio(part: Fraction, whole: Fraction) -> float:
    return float(part / whole) if whole > 0 else math.nan


def _mean(figures: Sequence[float]) -> float:
    return math.fsum(figures) / len(figures)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
