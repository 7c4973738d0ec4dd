"""Sums of float64 without any rounding, so that they can be merged in whatever order.

A float64 is a whole number of 2**-1074; as such all of them add up in one of Python's integers. NumPy adds the mantissas of each
exponent, and only these few sums are handled one by one.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

_UNIT_BITS = 1074
_MANTISSA_BITS = 53
_LOW_BITS = 27


class ExactSum:
    """A sum of finite float64.

    Attributes:
        units: The sum in units of 2**-1074.

    Example:
        >>> total = ExactSum()
        >>> total.add(np.array([1e16, 1.0, -1e16]))
        >>> float(total)
        1.0
    """

    def __init__(self, units: int = 0) -> None:
        self.units = units

    def add(self, values: npt.NDArray[np.float64]) -> None:
        """Adds all ``values``, float64 of any shape; they must be finite."""
        fractions, exponents = np.frexp(values.ravel())
        mantissas = np.ldexp(fractions, _MANTISSA_BITS).astype(np.int64)
        for exponent in np.unique(exponents).tolist():
            chosen = mantissas[exponents == exponent]
            # In two halves, so that the sums of up to 2**36 values fit int64.
            high, low = int((chosen >> _LOW_BITS).sum()), int((chosen & ((1 << _LOW_BITS) - 1)).sum())
            self._add_shifted((high << _LOW_BITS) + low, exponent - _MANTISSA_BITS + _UNIT_BITS)

    def add_products(self, first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> None:
        """Adds ``first * second``, number by number, as exactly: in halves of 26 bits, whose products are float64 too.

        Source: T. J. Dekker, A floating-point technique for extending the available precision (1971). Magnitudes must be from
        1e-140 to 1e140, or 0: beyond, halves or products would be lost.
        """
        for one in _halves(first):
            for other in _halves(second):
                self.add(one * other)

    def _add_shifted(self, value: int, bits: int) -> None:
        """``value * 2**bits``; of subnormal numbers the bits below the unit are 0."""
        self.units += value << bits if bits >= 0 else value >> -bits

    def fraction(self) -> Fraction:
        """The exact sum."""
        return Fraction(self.units, 1 << _UNIT_BITS)

    def __float__(self) -> float:
        return float(self.fraction())


def _halves(values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """High and low halves of the mantissas, which add up to ``values``."""
    scaled = values * (2.0**27 + 1)
    high = scaled - (scaled - values)
    return high, values - high
