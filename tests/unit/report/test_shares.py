from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweave.metrics.calibration import Calibration
from sparkweave.metrics.curve import Curve
from sparkweave.metrics.scores import ScoreCounts
from sparkweave.report.chart import BOTTOM, LEFT, RIGHT, TOP, Chart
from sparkweave.report.shares import precision_recall_chart, reliability_chart, roc_chart


def curve_of(actual: npt.ArrayLike, scores: npt.ArrayLike) -> Curve:
    counts = ScoreCounts(2)
    positive = np.asarray(scores)
    counts.update(np.asarray(actual), np.stack([1 - positive, positive], axis=1))
    return counts.curve(1)


def points_of(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([-\d.]+),([-\d.]+)", path)]


def present(chart: Chart | None) -> Chart:
    assert chart is not None
    return chart


PERFECT = curve_of([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])


def test_a_perfect_classifiers_curves_are_corners() -> None:
    roc, recalled = present(roc_chart(PERFECT)), present(precision_recall_chart(PERFECT))
    middle = (TOP + BOTTOM) / 2
    assert points_of(roc.curves[0].path) == [
        (LEFT, BOTTOM), (LEFT, middle), (LEFT, TOP), ((LEFT + RIGHT) / 2, TOP), (RIGHT, TOP),
    ]  # fmt: skip
    assert points_of(recalled.curves[0].path)[:3] == [(LEFT, TOP), ((LEFT + RIGHT) / 2, TOP), (RIGHT, TOP)]
    assert roc.curves[0].name == "area 1"
    assert recalled.curves[0].name == "average precision 1"
    assert "area below it is 1" in roc.summary


def test_dots_are_the_thresholds_of_the_table_and_say_what_comes_of_them() -> None:
    dots = present(roc_chart(PERFECT)).curves[0].dots
    text = [dot.text.replace("\N{NO-BREAK SPACE}", " ") for dot in dots]
    assert text[0] == "from 0.1 on: 100.0 % of the positive, 100.0 % of the negative"
    assert [line for line in text if "best F1" in line] == [
        "from 0.8 on (best F1): 100.0 % of the positive, 0.0 % of the negative"
    ]
    assert len(dots) == 6
    assert (dots[2].x, dots[2].y) == (LEFT, TOP)


def test_chance_is_the_share_of_positive_examples() -> None:
    chart = present(precision_recall_chart(curve_of([0, 0, 0, 1], [0.1, 0.2, 0.3, 0.4])))
    height = BOTTOM + 0.25 * (TOP - BOTTOM)
    assert points_of(chart.curves[1].path) == [(LEFT, height), (RIGHT, height)]


@pytest.mark.parametrize("kind", [0, 1])
def test_without_examples_of_a_kind_there_is_no_curve(kind: int) -> None:
    curve = curve_of([kind] * 3, [0.1, 0.5, 0.9])
    assert roc_chart(curve) is None
    assert (precision_recall_chart(curve) is None) == (kind == 0)


def test_reliability_has_a_dot_and_a_column_for_each_bin() -> None:
    calibration = Calibration()
    calibration.update(np.array([0.5, 0.5, 1.0, 1.0]), np.array([True, False, True, True]))
    chart = present(reliability_chart(calibration))
    places = [((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2), (RIGHT, TOP)]
    assert points_of(chart.curves[0].path) == places
    assert [(dot.x, dot.y) for dot in chart.curves[0].dots] == places
    assert len(re.findall("Z", chart.stacks[0].path)) == len(chart.areas) == 2
    assert chart.areas[0].text.replace("\N{NO-BREAK SPACE}", " ") == "2 predictions, sure of 50.0 %: 50.0 % are right"
    assert chart.note.replace("\N{NO-BREAK SPACE}", " ") == "Expected calibration error: 0 %"
    assert reliability_chart(Calibration()) is None


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1, width=32)), min_size=1, max_size=400))
def test_whatever_is_counted_stays_within_the_plot(examples: list[tuple[int, float]]) -> None:
    curve = curve_of([kind for kind, _ in examples], [score for _, score in examples])
    for chart in filter(None, (roc_chart(curve), precision_recall_chart(curve))):
        points = points_of(chart.curves[0].path)
        assert len(points) < 1500
        assert all(LEFT <= x <= RIGHT and TOP <= y <= BOTTOM for x, y in points)
        assert points[-1][0] == RIGHT, "it goes to the end"
        assert all(LEFT <= dot.x <= RIGHT and TOP <= dot.y <= BOTTOM for dot in chart.curves[0].dots)
