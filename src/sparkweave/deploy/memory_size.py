"""Amounts of memory as Spark writes them (``512m``, ``2g``), and as people read them."""

from __future__ import annotations

import re

from sparkweave.errors import ConfigError

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
_UNITS = {"b": 1, "k": KIB, "m": MIB, "g": GIB, "t": GIB << 10, "p": GIB << 20}
_SIZE = re.compile(r"(\d+)\s*(?:([kmgtp])(?:i?b)?|b)?", re.IGNORECASE)


def parse_size(text: str, *, unit: str = "m", name: str = "size") -> int:
    """The bytes that ``text`` stands for.

    Args:
        text: A whole number with one of Spark's endings: k, m, g, t, p (powers of 1,024), or b.
        unit: The ending of a number that has none: Spark counts its memory settings in MiB.
        name: What to call it in the error.

    Raises:
        ConfigError: if it is not such a size.

    Example:
        >>> parse_size("2g") == parse_size("2048") == 2 << 30
        True
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"{name} is {text!r}; give a whole number with a unit, such as 512m or 2g")
    ending = match[2] or ("b" if text.strip()[-1] in "bB" else unit)
    return int(match[1]) * _UNITS[ending.lower()]


def spark_size(size: int) -> str:
    """``size`` as a setting, in whole MiB, rounded up.

    >>> spark_size((3 << 30) + 1)
    '3073m'
    """
    return f"{-(-size // MIB)}m"


def show_size(size: float) -> str:
    """``size`` for people.

    >>> show_size(1536 << 20), show_size(45 << 20), show_size(300)
    ('1.50 GiB', '45 MiB', '0 MiB')
    """
    return f"{size / GIB:,.2f} GiB" if size >= GIB else f"{size / MIB:,.0f} MiB"
