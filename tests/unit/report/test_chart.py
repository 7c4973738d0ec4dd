from __future__ import annotations

import doctest
import math
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweave.report import chart as module
from sparkweave.report.chart import (
    BOTTOM,
    HEIGHT,
    LEFT,
    MOST_COLUMNS,
    MOST_POINTS,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Chart,
    Line,
    column_chart,
    line_chart,
)
from sparkweave.report.history import Mark
from sparkweave.report.quantities import BYTES, SECONDS
from sparkweave.report.scale import fitting
from sparkweave.report.stretches import Point

ANY = st.floats(min_value=-1e100, max_value=1e100) | st.just(math.nan)
PLACES = st.floats(min_value=0, max_value=1e6)
POINTS = st.lists(st.tuples(PLACES, ANY), max_size=30)


def test_the_examples_are_right() -> None:
    assert doctest.testmod(module).failed == 0


def coordinates(path: str) -> list[float]:
    """The numbers of a path of M, L, H, V and Z; anything else in it is an error."""
    assert re.fullmatch(r"([MLHV][-\d.,e+]+|Z)*", path), path
    return [float(number) for number in re.findall(r"-?\d[\d.]*(?:e[-+]\d+)?", path)]


def check(chart: Chart) -> None:
    numbers = [number for curve in chart.curves for number in coordinates(curve.path) + coordinates(curve.band)]
    numbers += [number for stack in chart.stacks for number in coordinates(stack.path)]
    numbers += [number for curve in chart.curves for dot in curve.dots for number in (dot.x, dot.y)]
    numbers += [flag.x for flag in chart.flags] + [tick.place for tick in (*chart.x_ticks, *chart.y_ticks)]
    assert all(math.isfinite(number) and 0 <= number <= max(WIDTH, HEIGHT) for number in numbers)
    assert all(LEFT <= dot.x <= RIGHT and TOP <= dot.y <= BOTTOM for curve in chart.curves for dot in curve.dots)
    assert all(area.width > 0 for area in chart.areas)


@given(st.lists(POINTS, min_size=1, max_size=3), st.sampled_from([fitting, module.from_zero]))
def test_no_points_give_coordinates_that_are_not_numbers_of_the_picture(
    lines: list[list[Point]], scale: Callable
) -> None:
    drawn = [Line(name=str(index), style="plain", points=points) for index, points in enumerate(lines)]
    chart = line_chart("Loss", drawn, Axis(epochs=12.0), units=SECONDS, scale=scale)
    if chart is None:
        assert not any(math.isfinite(y) for points in lines for _, y in points)
    else:
        check(chart)


@given(POINTS, st.integers(1, 10**6))
def test_no_columns_do_either(points: list[Point], epochs: int) -> None:
    parts = [Line(name=name, style=name, points=points) for name in ("data", "compute")]
    chart = column_chart("Time", parts, Axis(epochs=float(epochs)), units=SECONDS)
    if chart is not None:
        check(chart)


def line(points: list[Point]) -> Line:
    return Line(name="training", style="training", points=points)


def drawn(points: list[Point], **options: object) -> Chart:
    chart = line_chart("Loss", [line(points)], Axis(epochs=max(x for x, _ in points)), **options)  # type: ignore[arg-type]
    assert chart is not None
    return chart


def test_each_point_of_a_short_line_is_a_dot_that_says_its_value() -> None:
    chart = drawn([(1.0, 2.0), (2.0, 1.0)])
    (curve,) = chart.curves
    assert [dot.text for dot in curve.dots] == ["epoch 1, training: 2", "epoch 2, training: 1"]
    assert curve.shows_dots
    assert not curve.band
    assert (curve.dots[1].x, curve.dots[1].y) == (RIGHT, (TOP + BOTTOM) / 2)
    assert chart.summary == "Loss over epochs: training from 2 to 1"
    assert not chart.note


def test_one_epoch_is_one_dot() -> None:
    chart = drawn([(1.0, 0.5)])
    assert len(chart.curves[0].dots) == 1
    assert [tick.text for tick in chart.x_ticks] == ["0", "1"]


def test_a_long_line_is_thinned_and_says_so() -> None:
    chart = drawn([(x / 100, math.sin(x)) for x in range(1, 10_000)])
    (curve,) = chart.curves
    assert len(curve.dots) <= MOST_POINTS
    assert curve.band
    assert not curve.shows_dots
    assert chart.note == "Line: mean; band: lowest to highest"
    assert "mean of" in curve.dots[0].text


def test_several_workers_at_one_step_are_a_mean_with_a_band() -> None:
    (curve,) = drawn([(1.0, 10.0), (1.0, 20.0), (2.0, 10.0), (2.0, 30.0)], units=BYTES).curves
    assert [dot.text.replace("\N{NO-BREAK SPACE}", " ") for dot in curve.dots] == [
        "epoch 1, training: 15 B (10 B to 20 B, mean of 2)",
        "epoch 2, training: 20 B (10 B to 30 B, mean of 2)",
    ]


def test_values_that_are_lost_are_passed_over() -> None:
    (curve,) = drawn([(1.0, 2.0), (2.0, math.nan), (3.0, 1.0)]).curves
    assert len(curve.dots) == 2
    assert line_chart("Loss", [line([(1.0, math.nan)])], Axis(epochs=1.0)) is None
    assert line_chart("Loss", [], Axis(epochs=1.0)) is None


def test_the_axis_is_labelled_in_the_unit_that_fits() -> None:
    chart = drawn([(1.0, 0.0), (2.0, 3e6)], units=BYTES, what="bytes")
    assert chart.y_label == "bytes (MB)"
    assert [tick.text for tick in chart.y_ticks] == ["0", "1", "2", "3"]


def test_marks_are_at_their_epoch() -> None:
    marks = [Mark(epoch=5, kind="restart", text="run again")]
    chart = line_chart("Loss", [line([(1.0, 1.0), (10.0, 1.0)])], Axis(epochs=10.0, marks=marks))
    assert chart is not None
    (flag,) = chart.flags
    assert (flag.x, flag.kind, flag.text) == ((LEFT + RIGHT) / 2, "restart", "after epoch 5: run again")


def test_columns_are_stacked_in_order() -> None:
    parts = [
        Line(name="data", style="data", points=[(1.0, 1.0), (2.0, 2.0)]),
        Line(name="compute", style="compute", points=[(1.0, 3.0), (2.0, 2.0)]),
    ]
    chart = column_chart("Time", parts, Axis(epochs=2.0), units=SECONDS, what="time")
    assert chart is not None
    data, compute = ([coordinates(box) for box in stack.path.split("Z")[:-1]] for stack in chart.stacks)
    assert [box[1] for box in data] == [box[3] for box in compute], "one ends where the next begins"
    assert [box[3] for box in data] == [BOTTOM, BOTTOM]
    assert chart.areas[0].text.replace("\N{NO-BREAK SPACE}", " ") == "epoch 1: 4 s (data 1 s, compute 3 s)"


def test_a_single_column_is_an_epoch_wide() -> None:
    chart = column_chart("Time", [line([(1.0, 1.0)])], Axis(epochs=1.0))
    assert chart is not None
    assert chart.areas[0].width == RIGHT - LEFT


@pytest.mark.parametrize("epochs", [MOST_COLUMNS, 1000])
def test_many_columns_are_means(epochs: int) -> None:
    chart = column_chart("Time", [line([(float(x), 1.0) for x in range(1, epochs + 1)])], Axis(epochs=float(epochs)))
    assert chart is not None
    assert len(chart.areas) == MOST_COLUMNS
    assert bool(chart.note) == (epochs > MOST_COLUMNS)


def test_no_columns_are_no_chart() -> None:
    assert column_chart("Time", [line([])], Axis(epochs=1.0)) is None
