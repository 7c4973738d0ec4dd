"""Takes an update out of a residual: entries beyond the threshold, quantized to it. What is left stays in the residual.

Source: Strom, Scalable Distributed DNN Training Using Commodity GPU Cloud Computing (Interspeech 2015).
"""

from __future__ import annotations

import numpy as np

from sparkweave.compression.update import DenseUpdate, Floats, Indices, SparseUpdate, Update
from sparkweave.errors import TrainingError

DENSE_FACTOR = 2.0**15
"""An entry of so many thresholds is not sent as one of them: all entries are sent as they are."""

LEAST_THRESHOLD, MOST_THRESHOLD = 2.0**-100, 2.0**100
_ALL_INSIDE = np.uint64(0x0101010101010101)  # eight booleans


def usable_threshold(threshold: float) -> float:
    """The next threshold at or below ``threshold`` that has the 8 significant bits of bfloat16, within 2**-100 and 2**100.

    It takes two bytes in a frame; and what a residual loses to it is exact: for t <= |x| < 2**15 t, t is a multiple of the unit in
    the last place of x, which has 24 bits, so that x - t needs no rounding, and neither does adding t back.
    """
    bounded = np.float32(min(max(threshold, LEAST_THRESHOLD), MOST_THRESHOLD))
    return float((bounded.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32))


class Quantizer:
    """Takes updates out of residuals of one size.

    Example:
        >>> residual = np.array([0.25, -2.0, 0.75], np.float32)
        >>> update = Quantizer(3).take(residual, 0.5)
        >>> update.indices.tolist(), update.negative.tolist(), residual.tolist()
        ([1, 2], [True, False], [0.25, -1.5, 0.25])
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._inside = np.ones(-(-size // 8) * 8, np.bool_)
        self._above = np.empty(size, np.bool_)

    def take(self, residual: Floats, threshold: float) -> Update:
        """What is sent of ``residual``, float32 (size,), from which it is subtracted in place.

        The sum of both is the residual before, number by number (and bit by bit, but for the sign of a zero). The threshold that is
        used is ``usable_threshold(threshold)``.

        Raises:
            TrainingError: if an entry is not finite.
        """
        threshold = usable_threshold(threshold)
        indices = self._reaching(residual, np.float32(threshold))
        entries = residual[indices]
        largest = float(np.abs(entries).max(initial=0.0))
        if not np.isfinite(largest):
            raise not_finite()
        if largest >= DENSE_FACTOR * threshold:
            values = residual.copy()
            residual.fill(0)
            return DenseUpdate(values)
        update = SparseUpdate(len(residual), threshold, indices, entries < 0)
        residual[indices] = entries - update.values
        return update

    def _reaching(self, residual: Floats, threshold: np.float32) -> Indices:
        """Where ``residual`` isn't between minus and plus the threshold; NaN isn't either.

        Two comparisons are faster than one of magnitudes. And as few reach it, eight results at a time are searched first.
        """
        inside = self._inside[: self._size]
        np.less(residual, threshold, out=inside)
        np.greater(residual, -threshold, out=self._above)
        np.logical_and(inside, self._above, out=inside)
        eights = np.flatnonzero(self._inside.view(np.uint64) != _ALL_INSIDE)
        found = np.flatnonzero(~self._inside.reshape(-1, 8).take(eights, axis=0))
        return eights.take(found >> 3) * 8 + (found & 7)


def not_finite() -> TrainingError:
    """The error for a residual with NaN or infinity in it."""
    return TrainingError("an update of the parameters is not finite; lower --learning-rate")
