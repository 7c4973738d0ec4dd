"""How large an entry of a residual must be to be sent."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol

import numpy as np

from sparkweave.compression.quantize import LEAST_THRESHOLD, MOST_THRESHOLD
from sparkweave.compression.update import Floats

DECAY = 0.965936
"""Of Deeplearning4j's AdaptiveThresholdAlgorithm: 20 steps halve or double a threshold."""


class ThresholdAlgorithm(Protocol):
    """Chooses the threshold of each exchange. Thresholds are kept unrounded, and rounded where they are used."""

    def next_threshold(self, last: float, sent_fraction: float, magnitudes: Callable[[], Floats]) -> float:
        """The next threshold.

        Args:
            last: The one before.
            sent_fraction: Of the parameters, with it.
            magnitudes: Makes a sample of the residual's absolute values, in any order.
        """


@dataclasses.dataclass(frozen=True)
class Fixed:
    """Stays."""

    def next_threshold(self, last: float, sent_fraction: float, magnitudes: Callable[[], Floats]) -> float:
        """See `ThresholdAlgorithm.next_threshold`."""
        return last


@dataclasses.dataclass(frozen=True)
class Within:
    """Falls while less than ``least`` of the parameters is sent, rises while more than ``most`` is.

    Deeplearning4j calls it AdaptiveThresholdAlgorithm.
    """

    least: float
    most: float

    def next_threshold(self, last: float, sent_fraction: float, magnitudes: Callable[[], Floats]) -> float:
        """See `ThresholdAlgorithm.next_threshold`."""
        if sent_fraction < self.least:
            return max(last * DECAY, LEAST_THRESHOLD)
        if sent_fraction > self.most:
            return min(last / DECAY, MOST_THRESHOLD)
        return last


@dataclasses.dataclass(frozen=True)
class Target:
    """Sends a ``fraction`` of the parameters: the threshold is what so many of the residual's entries exceed.

    Deeplearning4j's TargetSparsityThresholdAlgorithm comes near its target by `DECAY` a step. That sends too much for 67 steps where
    the first threshold is ten times too low, and lags behind a learning rate that changes; rules that correct it faster were seen
    to swing between nothing and a tenth of the parameters.
    """

    fraction: float

    def next_threshold(self, last: float, sent_fraction: float, magnitudes: Callable[[], Floats]) -> float:
        """See `ThresholdAlgorithm.next_threshold`."""
        sample = magnitudes()
        beyond = max(1, round(self.fraction * len(sample)))
        found = float(np.partition(sample, len(sample) - beyond)[len(sample) - beyond]) if len(sample) else 0.0
        return found if np.isfinite(found) and found > LEAST_THRESHOLD else last


THRESHOLD_ALGORITHMS: dict[str, Callable[[float], ThresholdAlgorithm]] = {
    "fixed": lambda _target: Fixed(),
    "adaptive": lambda _target: Within(1e-4, 1e-2),
    "target-sparsity": Target,
}
"""By name, each made for a target fraction."""
