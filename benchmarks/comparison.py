"""Two ways of doing one thing, measured side by side: A B A B, and the ratio of each pair.

Whatever else the machine does hits both halves of a pair alike, so the ratio holds where the figures themselves drift.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.journal import Journal

Measure = Callable[[], float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Figures of A and B, pair by pair; ``target`` is such as ``>= 0.95`` and is for A / B."""

    name: str
    first: list[float]
    second: list[float]
    target: str = ""

    @property
    def ratios(self) -> list[float]:
        """A / B of each pair."""
        return [first / second for first, second in zip(self.first, self.second, strict=True)]

    def cells(self) -> list[str]:
        """For a row under `HEADER`."""
        ratios = self.ratios
        return [
            self.name,
            figure(statistics.median(self.first)),
            figure(statistics.median(self.second)),
            f"**{statistics.median(ratios):.3f}** ({min(ratios):.3f} to {max(ratios):.3f})",
            self._verdict(statistics.median(ratios)),
            str(len(ratios)),
        ]

    def _verdict(self, ratio: float) -> str:
        if not self.target:
            return ""
        sign, bound = self.target.split()
        met = ratio >= float(bound) if sign == ">=" else ratio <= float(bound)
        return f"{self.target}: {'met' if met else 'MISSED'}"


HEADER = ("A against B", "A", "B", "A / B: median (min to max)", "target", "pairs")


def compare(
    name: str,
    first: Measure,
    second: Measure,
    *,
    rounds: int,
    journal: Journal,
    settings: Mapping[str, Any],
    target: str = "",
) -> Comparison:
    """Measures ``first`` and ``second`` in turn, ``rounds`` times each."""
    pairs = []
    for number in range(rounds):
        key = {"row": name, "round": number, **settings}
        pair = journal.take(key, lambda: {"first": first(), "second": second()})
        say(f"{name}: {figure(pair['first'])} / {figure(pair['second'])} = {pair['first'] / pair['second']:.3f}")
        pairs.append(pair)
    return Comparison(
        name=name, first=[pair["first"] for pair in pairs], second=[pair["second"] for pair in pairs], target=target
    )


def figure(value: float) -> str:
    """With three digits or more."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def table(header: tuple[str, ...], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [list(header), ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def say(text: str) -> None:
    """Tells of the progress, on stderr."""
    print(text, file=sys.stderr, flush=True)
