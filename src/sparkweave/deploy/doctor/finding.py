"""Something that is wrong, or worth knowing, with its remedy."""

from __future__ import annotations

import dataclasses
from typing import Literal

Severity = Literal["error", "warning", "note"]
"""An ``error`` would make training fail; a ``warning`` may, or has a price; a ``note`` is good to know."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding.

    Attributes:
        check: What was looked at, in a word.
        host: The machine, ``driver``, or ``session`` for Spark's settings.
        severity: See `Severity`.
        what: What is so, and why that matters.
        fix: What to do, in a line.
    """

    check: str
    host: str
    severity: Severity
    what: str
    fix: str
