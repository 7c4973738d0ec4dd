"""From values to places on an axis, with ticks at round numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from sparkweave.report.quantities import digits

_TICKS = 5
_TINY = 1e-100
_SAME = 1e-9
_DECADES = 3
"""Values that span more powers of ten than these are shown on a logarithmic axis."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tick:
    """A labelled place on an axis, from 0 (its low end) to 1."""

    place: float
    text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
    """An axis from ``low`` to ``high``, which are finite and not the same; ``ticks`` are values in that range."""

    low: float
    high: float
    ticks: tuple[float, ...]
    step: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where a finite ``value`` is: 0 at ``low``, 1 at ``high``; what is outside is put at the end."""
        if self.logarithmic:
            value = max(value, self.low)  # there is no logarithm below
            share = math.log10(value / self.low) / math.log10(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return min(1.0, max(0.0, share))

    def labelled(self) -> list[Tick]:
        """The ticks with as many decimals as tell them apart."""
        return [Tick(place=self.place(value), text=self._text(value)) for value in self.ticks]

    def _text(self, value: float) -> str:
        if self.logarithmic or self.step < 1e-4 or abs(value) >= 1e7:
            return digits(value)
        return f"{value:,.{max(0, -math.floor(math.log10(self.step) + _SAME))}f}"


def linear(
    values: Sequence[float],
    *,
    zero: bool = False,
    least_step: float = 0.0,
    ceiling: float = math.inf,
    ticks: int = _TICKS,
) -> Scale:
    """A scale with about ``ticks`` steps of 1, 2 or 5 times a power of ten, and its ends at such a step.

    Args:
        values: Finite; all of them fit on the scale.
        zero: Whether it begins at zero, unless a value is below.
        least_step: Of the ticks; 1 for what is counted.
        ceiling: The scale ends there, unless a value is above.
        ticks: Steps, roughly.

    Example:
        >>> linear([0.3, 2.2], zero=True).ticks
        (0.0, 0.5, 1.0, 1.5, 2.0, 2.5)
    """
    low, high = _widened(min([*values, 0.0] if zero else values), max(values))
    step = max(round_step((high - low) / ticks), least_step)
    first, last = math.floor(low / step + _SAME), math.ceil(high / step - _SAME)
    marks = tuple(number * step for number in range(first, max(last, first + 1) + 1))
    below = tuple(mark for mark in marks if mark <= ceiling + step * _SAME)
    if max(values) <= ceiling and len(below) > 1:
        marks = below
    return Scale(low=min(marks[0], low), high=max(marks[-1], *values), ticks=marks, step=step)


def logarithmic(values: Sequence[float]) -> Scale:
    """A scale over whole powers of ten, for values that are all above zero."""
    first, last = (round_(math.log10(value)) for round_, value in ((math.floor, min(values)), (math.ceil, max(values))))
    last = max(last, first + 1)
    every = max(1, math.ceil((last - first) / (2 * _TICKS)))
    ticks = tuple(10.0**power for power in range(first, last + 1, every))
    return Scale(low=10.0**first, high=10.0**last, ticks=ticks, step=1.0, logarithmic=True)


def from_zero(values: Sequence[float]) -> Scale:
    """`linear`, beginning at zero."""
    return linear(values, zero=True)


def fitting(values: Sequence[float]) -> Scale:
    """`from_zero`, or `logarithmic` where values span more than three powers of ten (a loss that ran away)."""
    if min(values) > _TINY and max(values) / min(values) > 10**_DECADES:
        return logarithmic(values)
    return from_zero(values)


def round_step(width: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is no less than ``width``.

    >>> round_step(0.3), round_step(12.0)
    (0.5, 20.0)
    """
    power = 10.0 ** math.floor(math.log10(width))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= width * (1 - _SAME))


def _widened(low: float, high: float) -> tuple[float, float]:
    """Ends that are far enough apart to be told apart."""
    size = max(abs(low), abs(high))
    if size < _TINY:
        return 0.0, 1.0
    if high - low > size * _SAME:
        return low, high
    return low - size / 10, high + size / 10
