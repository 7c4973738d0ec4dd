"""The chart of a regression's errors: how many predictions are no further off than so much."""

from __future__ import annotations

from sparkweave.metrics.error_counts import ErrorCounts
from sparkweave.report.chart import BOTTOM, LEFT, RIGHT, TOP, Chart, Curve, Dot, path
from sparkweave.report.quantities import digits, percent
from sparkweave.report.scale import Tick, linear, logarithmic

_MARKED = (0.5, 0.9, 0.99)
_LEAST_SHARE = 0.01
"""Where the axis begins: a few errors that are tiny by chance would take most of it."""


def error_chart(name: str, errors: ErrorCounts) -> Chart | None:
    """The regression error characteristic curve of one output, or None where no prediction was off."""
    points = errors.curve()
    if not points:
        return None
    shown = [point for point in points if point[1] >= _LEAST_SHARE]
    x, y = logarithmic([error for error, _ in shown]), linear([0.0, 100.0], zero=True)

    def at(error: float, share: float) -> tuple[float, float]:
        return LEFT + x.place(error) * (RIGHT - LEFT), BOTTOM + share * (TOP - BOTTOM)

    dots = []
    for share in _MARKED:
        error = errors.quantile(share)
        left, top = at(error, share)
        dots.append(Dot(x=round(left, 1), y=round(top, 1), text=f"{percent(share)} are off by at most {digits(error)}"))
    half = f"Half of the predictions are off by at most {digits(errors.quantile(0.5))}"
    return Chart(
        title=f"Errors of {name}",
        summary=f"Share of predictions by how far they are off at most: {'; '.join(dot.text for dot in dots)}",
        note=half,
        x_label="absolute error, logarithmic",
        y_label="predictions (%)",
        x_ticks=tuple(Tick(place=round(at(tick, 0)[0], 1), text=digits(tick)) for tick in x.ticks),
        y_ticks=tuple(Tick(place=round(at(x.low, tick.place)[1], 1), text=tick.text) for tick in y.labelled()),
        flags=(),
        curves=(
            Curve(
                name="predictions",
                style="training",
                path=path([at(*point) for point in shown]),
                band="",
                dots=tuple(dots),
                shows_dots=True,
            ),
        ),
    )
