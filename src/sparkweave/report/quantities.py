"""Numbers as a person reads them: with a unit that fits, and no more digits than mean something."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

NOTHING = "–"
"""Stands where a figure is missing, or not finite."""


_NO_BREAK = "\N{NO-BREAK SPACE}"


@dataclasses.dataclass(frozen=True)
class Unit:
    """A unit of ``size`` base units, used for amounts of at least ``since`` of these, with so many digits that count."""

    name: str
    size: float
    since: float
    digits: int = 3


Units = Sequence[Unit]
"""Of one quantity, the smallest first."""

BYTES: Units = (
    Unit("B", 1, 0),
    Unit("kB", 1e3, 1e3),
    Unit("MB", 1e6, 1e6),
    Unit("GB", 1e9, 1e9),
    Unit("TB", 1e12, 1e12),
)
SECONDS: Units = (
    Unit("µs", 1e-6, 0),
    Unit("ms", 1e-3, 1e-3),
    Unit("s", 1, 1),
    Unit("min", 60, 180),
    Unit("h", 3600, 3 * 3600),
)
PERCENT: Units = (Unit("%", 0.01, 0, digits=4),)
PLAIN: Units = (Unit("", 1, 0),)


def unit_for(amount: float, units: Units) -> Unit:
    """The unit in which ``amount``, given in base units, reads best.

    >>> unit_for(41_400_000, BYTES).name, unit_for(0.004, SECONDS).name
    ('MB', 'ms')
    """
    return next((unit for unit in reversed(units) if abs(amount) >= unit.since), units[0])


def show(amount: float | None, units: Units = PLAIN) -> str:
    r"""``amount``, in base units, with the digits that count and its unit.

    >>> show(41_383_680, BYTES), show(0.97643, PERCENT), show(431_080), show(float("nan"))
    ('41.4\xa0MB', '97.64\xa0%', '431,080', '–')
    """
    if amount is None or not math.isfinite(amount):
        return NOTHING
    unit = unit_for(amount, units)
    number = digits(amount / unit.size, unit.digits)
    return f"{number}{_NO_BREAK}{unit.name}" if unit.name else number


def percent(share: float) -> str:
    r"""A share of a whole with one decimal, so that columns of them line up.

    >>> percent(0.0521), percent(1)
    ('5.2\xa0%', '100.0\xa0%')
    """
    return f"{100 * share:.1f}{_NO_BREAK}%" if math.isfinite(share) else NOTHING


def digits(number: float, count: int = 3) -> str:
    """So many digits that count, but all before the point; powers of ten where that is shorter.

    >>> digits(1234.5), digits(12.345), digits(0.5), digits(0.0000123)
    ('1,234', '12.3', '0.5', '1.23e-05')
    """
    if number == 0:
        return "0"
    if abs(number) >= 1e15 or abs(number) < 1e-4:
        return f"{number:.{count}g}"
    decimals = max(0, count - 1 - math.floor(math.log10(abs(number))))
    text = f"{number:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration(seconds: float) -> str:
    r"""A time that a person waits.

    >>> duration(0.25), duration(75), duration(7322)
    ('0.25\xa0s', '1\xa0min 15\xa0s', '2\xa0h 2\xa0min')
    """
    if not math.isfinite(seconds):
        return NOTHING
    if seconds < 60:
        return f"{digits(seconds)}{_NO_BREAK}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((f"{hours:,}", "h"), (minutes, "min")) if hours else ((minutes, "min"), (rest, "s"))
    return " ".join(f"{number}{_NO_BREAK}{unit}" for number, unit in parts)
