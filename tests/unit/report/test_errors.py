"""The chart of a regression's errors."""

from __future__ import annotations

import numpy as np
import pytest

from sparkweave.metrics.error_counts import ErrorCounts
from sparkweave.report.chart import BOTTOM, LEFT, RIGHT, TOP
from sparkweave.report.errors import error_chart


def counted(errors: list[float]) -> ErrorCounts:
    counts = ErrorCounts()
    counts.update(np.array(errors))
    return counts


def test_the_curve_goes_up_to_all_predictions_and_its_dots_say_how_far_off_they_are() -> None:
    chart = error_chart("price", counted([1.0] * 50 + [10.0] * 40 + [100.0] * 10))
    assert chart is not None
    assert chart.title == "Errors of price"
    assert chart.note == "Half of the predictions are off by at most 1.04"
    (curve,) = chart.curves
    shares_and_errors = [dot.text.split(" are off by at most ") for dot in curve.dots]
    assert shares_and_errors == [["50.0\xa0%", "1.04"], ["90.0\xa0%", "10.4"], ["99.0\xa0%", "103"]]
    assert [dot.x for dot in curve.dots] == sorted(dot.x for dot in curve.dots)
    assert all(LEFT <= dot.x <= RIGHT and TOP <= dot.y <= BOTTOM for dot in curve.dots)
    assert curve.path.endswith(f",{TOP:g}")
    assert [tick.text for tick in chart.x_ticks] == ["1", "10", "100", "1,000"]


@pytest.mark.parametrize("errors", [[3.0], [0.0, 0.0, 5.0], [1e-300, 1e300]])
def test_few_or_very_different_errors_have_a_chart_too(errors: list[float]) -> None:
    chart = error_chart("x", counted(errors))
    assert chart is not None
    assert all(LEFT <= tick.place <= RIGHT for tick in chart.x_ticks)


@pytest.mark.parametrize("errors", [[], [0.0, 0.0]])
def test_without_an_error_there_is_none(errors: list[float]) -> None:
    assert error_chart("x", counted(errors)) is None
