"""Charts as geometry: lines and columns over epochs, in the user units of an SVG of `WIDTH` by `HEIGHT`."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence

from sparkweave.report.history import Mark
from sparkweave.report.quantities import PLAIN, Units, show, unit_for
from sparkweave.report.scale import Scale, Tick, from_zero, linear
from sparkweave.report.stretches import Point, Stretch, stretches

WIDTH, HEIGHT = 440.0, 246.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 424.0, 28.0, 206.0
"""The plot's edges; axes' labels are outside."""

MOST_POINTS = 160
"""Of a line; more are drawn as means of equal stretches."""

MOST_COLUMNS = 60
_MOST_DOTS = 40
_MOST_MARKS = 40


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """What to draw: points by x, and the style (a class of the page's style sheet) to draw them in."""

    name: str
    style: str
    points: Sequence[Point]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dot:
    """A place that says its value when it is pointed at."""

    x: float
    y: float
    text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """A line as SVG paths; ``band`` is the range around it, empty where each point is one value."""

    name: str
    style: str
    path: str
    band: str
    dots: tuple[Dot, ...]
    shows_dots: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stack:
    """One part of all columns as one SVG path."""

    name: str
    style: str
    path: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Area:
    """A stretch of the x axis that says its values when it is pointed at."""

    x: float
    width: float
    text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flag:
    """A mark at a place of the x axis."""

    x: float
    kind: str
    text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chart:
    """All that the template draws. Ticks are at places in SVG units."""

    title: str
    summary: str
    note: str
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    flags: tuple[Flag, ...]
    curves: tuple[Curve, ...] = ()
    stacks: tuple[Stack, ...] = ()
    areas: tuple[Area, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Axis:
    """The x axis that all charts over epochs share, with what happened on the way."""

    epochs: float
    marks: Sequence[Mark] = ()

    def scale(self) -> Scale:
        """From the start to the last epoch."""
        return linear([self.epochs], zero=True, least_step=1.0, ceiling=max(self.epochs, 1.0))


def line_chart(
    title: str,
    lines: Sequence[Line],
    axis: Axis,
    *,
    units: Units = PLAIN,
    what: str = "",
    scale: Callable[[Sequence[float]], Scale] = from_zero,
) -> Chart | None:
    """Lines over epochs, or None where no point is finite.

    Args:
        title: Of the chart.
        lines: Those without points are left out.
        axis: The epochs.
        units: Of y; one of them is chosen.
        what: Stands at the y axis, before the unit.
        scale: Makes the y axis of all y, in that unit.
    """
    drawn = [(line, found) for line in lines if (found := stretches(line.points, at_most=MOST_POINTS))]
    if not drawn:
        return None
    values = [value for _, found in drawn for stretch in found for value in (stretch.low, stretch.high)]
    unit = unit_for(max(map(abs, values)), units)
    y = scale([value / unit.size for value in values])
    x = axis.scale()
    curves = tuple(_curve(line, found, x, y, unit.size, units) for line, found in drawn)
    means = any(stretch.count > 1 for _, found in drawn for stretch in found)
    return Chart(
        title=title,
        summary=f"{title} over epochs: {'; '.join(_course(line.name, found, units) for line, found in drawn)}",
        note="Line: mean; band: lowest to highest" if means else "",
        x_label="epoch",
        y_label=_label(what, unit.name) + (", logarithmic" if y.logarithmic else ""),
        x_ticks=_ticks(x, LEFT, RIGHT),
        y_ticks=_ticks(y, BOTTOM, TOP),
        flags=_flags(axis, x),
        curves=curves,
    )


def column_chart(
    title: str,
    parts: Sequence[Line],
    axis: Axis,
    *,
    units: Units = PLAIN,
    what: str = "",
) -> Chart | None:
    """Columns, one an epoch, of stacked parts that have the same x; None where there are none.

    Where there are too many epochs, a column is the mean of a stretch of them.
    """
    columns = _columns(parts)
    if not columns:
        return None
    tallest = max(sum(heights) for _, heights in columns)
    unit = unit_for(tallest, units)
    x, y = axis.scale(), linear([tallest / unit.size], zero=True)
    edges = _edges([place for place, _ in columns], x)
    stacked = [[height / unit.size for height in heights] for _, heights in columns]
    texts = [_parts_text(place, heights, parts, units) for place, heights in columns]
    return Chart(
        title=title,
        summary=f"{title}: {', '.join(part.name for part in parts)}; the longest {show(tallest, units)}",
        note="" if len(columns) == max(len(part.points) for part in parts) else "Columns are means of several epochs",
        x_label="epoch",
        y_label=_label(what, unit.name),
        x_ticks=_ticks(x, LEFT, RIGHT),
        y_ticks=_ticks(y, BOTTOM, TOP),
        flags=_flags(axis, x),
        stacks=tuple(
            Stack(name=part.name, style=part.style, path=_stack(edges, stacked, index, y))
            for index, part in enumerate(parts)
        ),
        areas=tuple(
            Area(x=round(left, 1), width=round(max(right - left, 0.5), 1), text=text)
            for (left, right), text in zip(edges, texts, strict=True)
        ),
    )


def _curve(line: Line, found: Sequence[Stretch], x: Scale, y: Scale, size: float, units: Units) -> Curve:
    def at(stretch: Stretch, value: float) -> tuple[float, float]:
        return _x(x, stretch.x), _between(y.place(value / size), BOTTOM, TOP)

    middle = [at(stretch, stretch.mean) for stretch in found]
    band = [at(stretch, stretch.high) for stretch in found] + [at(s, s.low) for s in reversed(found)]
    dots = tuple(
        Dot(x=round(left, 1), y=round(top, 1), text=_value_text(line.name, stretch, units))
        for stretch, (left, top) in zip(found, middle, strict=True)
    )
    return Curve(
        name=line.name,
        style=line.style,
        path=path(middle),
        band=path(band) + "Z" if any(stretch.count > 1 for stretch in found) and len(found) > 1 else "",
        dots=dots,
        shows_dots=len(found) <= _MOST_DOTS,
    )


def path(points: Sequence[tuple[float, float]]) -> str:
    """An SVG path through points, with tenths.

    >>> path([(0, 1), (2.04, 3)])
    'M0,1L2,3'
    """
    return "M" + "L".join(f"{_short(x)},{_short(y)}" for x, y in points)


def box(left: float, top: float, right: float, bottom: float) -> str:
    """A rectangle as an SVG path, or nothing where it has no area.

    >>> box(0, 0, 10, 5.5), box(1, 1, 1, 2)
    ('M0,0H10V5.5H0Z', '')
    """
    x0, y0, x1, y1 = map(_short, (left, top, right, bottom))
    return "" if x0 == x1 or y0 == y1 else f"M{x0},{y0}H{x1}V{y1}H{x0}Z"


def _short(number: float) -> str:
    return f"{round(number, 1):g}" if abs(number) < 1e5 else str(round(number))


def _columns(parts: Sequence[Line]) -> list[tuple[float, list[float]]]:
    """The x of each column, and the heights of its parts."""
    reduced = [stretches([(x, max(0.0, y)) for x, y in part.points], at_most=MOST_COLUMNS) for part in parts]
    by_x: dict[float, list[float]] = {}
    for index, found in enumerate(reduced):
        for stretch in found:
            by_x.setdefault(stretch.x, [0.0] * len(parts))[index] = stretch.mean
    return sorted(by_x.items())


def _edges(places: Sequence[float], x: Scale) -> list[tuple[float, float]]:
    """Where each column begins and ends: it stands for the time up to its place."""
    width = min((after - before for before, after in itertools.pairwise(places)), default=1.0)
    return [(_x(x, place - width), _x(x, place)) for place in places]


def _stack(edges: Sequence[tuple[float, float]], stacked: Sequence[Sequence[float]], index: int, y: Scale) -> str:
    def top(height: float) -> float:
        return _between(y.place(height), BOTTOM, TOP)

    gap = min(2.0, (edges[0][1] - edges[0][0]) * 0.1)
    return "".join(
        box(left + gap, top(sum(heights[: index + 1])), right - gap, top(sum(heights[:index])))
        for (left, right), heights in zip(edges, stacked, strict=True)
    )


def _flags(axis: Axis, x: Scale) -> tuple[Flag, ...]:
    return tuple(
        Flag(x=round(_x(x, mark.epoch), 1), kind=mark.kind, text=f"after epoch {mark.epoch}: {mark.text}")
        for mark in axis.marks[:_MOST_MARKS]
    )


def _ticks(scale: Scale, low: float, high: float) -> tuple[Tick, ...]:
    return tuple(Tick(place=round(_between(tick.place, low, high), 1), text=tick.text) for tick in scale.labelled())


def _x(scale: Scale, value: float) -> float:
    return _between(scale.place(value), LEFT, RIGHT)


def _between(share: float, low: float, high: float) -> float:
    return low + share * (high - low)


def _label(what: str, unit: str) -> str:
    return f"{what} ({unit})" if what and unit else what or unit


def _course(name: str, found: Sequence[Stretch], units: Units) -> str:
    first, last = show(found[0].mean, units), show(found[-1].mean, units)
    return f"{name} {first}" if len(found) == 1 else f"{name} from {first} to {last}"


def _value_text(name: str, stretch: Stretch, units: Units) -> str:
    place = f"epoch {math.ceil(stretch.x):,}" if stretch.count > 1 or stretch.x % 1 else f"epoch {stretch.x:,.0f}"
    text = f"{place}, {name}: {show(stretch.mean, units)}"
    if stretch.count == 1:
        return text
    return f"{text} ({show(stretch.low, units)} to {show(stretch.high, units)}, mean of {stretch.count:,})"


def _parts_text(place: float, heights: Sequence[float], parts: Sequence[Line], units: Units) -> str:
    shown = ", ".join(f"{part.name} {show(height, units)}" for part, height in zip(parts, heights, strict=True))
    return f"epoch {place:,.0f}: {show(sum(heights), units)} ({shown})"
