"""How the threshold goes on from step to step, by the fraction of the parameters that the last one sent."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Protocol

DECAY = 0.965936
"""Of Deeplearning4j's algorithms: 20 steps halve or double a threshold."""

_LEAST, _MOST = 2.0**-100, 2.0**100
_GAIN, _LEAST_OFF = 0.1, 0.01


class ThresholdAlgorithm(Protocol):
    """Chooses the next threshold. Thresholds are kept unrounded, and rounded where they are used."""

    def next_threshold(self, threshold: float, sent_fraction: float) -> float:
        """From the last threshold and what it sent."""


@dataclasses.dataclass(frozen=True)
class Fixed:
    """Stays."""

    def next_threshold(self, threshold: float, sent_fraction: float) -> float:
        """See `ThresholdAlgorithm.next_threshold`."""
        return threshold


@dataclasses.dataclass(frozen=True)
class Within:
    """Falls while less than ``least`` of the parameters is sent, rises while more than ``most`` is.

    Deeplearning4j calls it AdaptiveThresholdAlgorithm.
    """

    least: float
    most: float

    def next_threshold(self, threshold: float, sent_fraction: float) -> float:
        """See `ThresholdAlgorithm.next_threshold`."""
        if sent_fraction < self.least:
            return max(threshold * DECAY, _LEAST)
        if sent_fraction > self.most:
            return min(threshold / DECAY, _MOST)
        return threshold


@dataclasses.dataclass(frozen=True)
class Target:
    """Comes near a ``fraction`` that is sent: it changes by a tenth of what the last one was off by, on a logarithmic scale.

    Deeplearning4j's TargetSparsityThresholdAlgorithm changes by `DECAY` whatever it is off by, so that a first threshold that is ten
    times too low sends too much for 67 steps.
    """

    fraction: float

    def next_threshold(self, threshold: float, sent_fraction: float) -> float:
        """See `ThresholdAlgorithm.next_threshold`."""
        off = max(sent_fraction / self.fraction, _LEAST_OFF)
        return min(max(threshold * math.pow(off, _GAIN), _LEAST), _MOST)


THRESHOLD_ALGORITHMS: dict[str, Callable[[float], ThresholdAlgorithm]] = {
    "fixed": lambda _target: Fixed(),
    "adaptive": lambda _target: Within(1e-4, 1e-2),
    "target-sparsity": Target,
}
"""By name, each made for a target fraction."""
