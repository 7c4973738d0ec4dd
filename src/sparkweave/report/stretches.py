"""Fewer points than there are, by one rule that the page states: means of equal stretches, with their lowest and highest.

Means alone would hide a spike, and every n-th point would meet one or miss it by chance; the range shows it wherever it is.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Sequence

Point = tuple[float, float]
"""x and y."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stretch:
    """The mean of ``count`` points, and the range of their y."""

    x: float
    mean: float
    low: float
    high: float
    count: int


def stretches(points: Iterable[Point], *, at_most: int) -> list[Stretch]:
    """The points by rising x; those with one x are one, and if there are still too many, equal stretches of x are.

    Args:
        points: In any order; those that are not finite are left out.
        at_most: So many stretches; at least 1.

    Example:
        >>> [stretch.mean for stretch in stretches([(1, 2.0), (1, 4.0), (2, 5.0)], at_most=9)]
        [3.0, 5.0]
    """
    finite = sorted(point for point in points if all(map(math.isfinite, point)))
    if not finite:
        return []
    alike = [list(group) for _, group in itertools.groupby(finite, key=lambda point: point[0])]
    if len(alike) > at_most:
        first, width = finite[0][0], finite[-1][0] - finite[0][0]

        def number(point: Point) -> int:
            return min(at_most - 1, int((point[0] - first) / width * at_most))

        alike = [list(group) for _, group in itertools.groupby(finite, key=number)]
    return [_stretch(group) for group in alike]


def _stretch(points: Sequence[Point]) -> Stretch:
    values = [y for _, y in points]
    low, high = min(values), max(values)
    # Rounding may put a mean beside the values that it is the mean of.
    mean = min(high, max(low, math.fsum(values) / len(values)))
    return Stretch(x=math.fsum(x for x, _ in points) / len(points), mean=mean, low=low, high=high, count=len(points))
