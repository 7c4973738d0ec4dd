"""How large errors are, counted apart by many tasks: the distribution of absolute errors, to within 4.5 %.

Its curve is the regression error characteristic curve, the counterpart of a classifier's ROC curve: the share of predictions that are
no further off than each error. Source: Bi, Bennett: Regression Error Characteristic Curves (ICML 2003).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparkweave.errors import ConfigError
from sparkweave.metrics.counts import as_counts

_BINS_AN_OCTAVE = 16
_LAST_BIN = 1100 * _BINS_AN_OCTAVE  # no float is beyond


class ErrorCounts:
    """Absolute errors by their size: exact zeros, and bins of a sixteenth of an octave. Bins depend on no range.

    Example:
        >>> counts = ErrorCounts()
        >>> counts.update(np.array([0.0, 1.0, 2.0, 2.0]))
        >>> counts.total, round(counts.quantile(0.5), 2)
        (4, 1.04)
    """

    def __init__(self) -> None:
        self.zeros = 0
        self._bins: Counter[int] = Counter()

    @property
    def total(self) -> int:
        """All errors."""
        return self.zeros + self._bins.total()

    def update(self, errors: npt.NDArray[np.float64]) -> None:
        """Counts finite errors of at least 0."""
        above = errors[errors > 0]
        self.zeros += len(errors) - len(above)
        bins, counts = np.unique(np.floor(np.log2(above) * _BINS_AN_OCTAVE).astype(np.int64), return_counts=True)
        self._bins.update(dict(zip(bins.tolist(), counts.tolist(), strict=True)))

    def merge(self, other: ErrorCounts) -> None:
        """Adds what ``other`` counted."""
        self.zeros += other.zeros
        self._bins.update(other._bins)

    def curve(self) -> list[tuple[float, float]]:
        """(error, share of all errors that are at most as large), rising; empty before the first error above 0."""
        points, below = [], self.zeros
        for place, count in sorted(self._bins.items()):
            below += count
            points.append((2.0 ** ((place + 1) / _BINS_AN_OCTAVE), below / self.total))
        return points

    def quantile(self, share: float) -> float:
        """The error that at least ``share`` of all are not above; NaN before the first one."""
        if not self.total:
            return math.nan
        if self.zeros >= share * self.total:
            return 0.0
        return next(error for error, reached in self.curve() if reached >= share)

    def to_list(self) -> list[list[int]]:
        """Plain data for `from_list`: pairs of a bin and its count, exact zeros first as the bin 0 of none."""
        return [[0, self.zeros], *map(list, sorted(self._bins.items()))]

    @classmethod
    def from_list(cls, pairs: Iterable[Sequence[Any]]) -> ErrorCounts:
        """The inverse of `to_list`.

        Raises:
            ConfigError: if they are something else.
        """
        (_, zeros), *bins = pairs
        places = [place for place, _ in bins]
        if not all(type(place) is int and abs(place) <= _LAST_BIN for place in places) or len(set(places)) < len(
            places
        ):
            raise ConfigError(
                f"the bins of errors are {places!r:.80}; the rule is distinct whole numbers to ±{_LAST_BIN:,}"
            )
        values = [zeros, *(count for _, count in bins)]
        first, *rest = as_counts(values, name="errors", shape=(len(values),)).tolist()
        counts = cls()
        counts.zeros = first
        counts._bins = Counter(dict(zip(places, rest, strict=True)))
        return counts
