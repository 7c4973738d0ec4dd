from __future__ import annotations

import doctest
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweave.report import scale as scales
from sparkweave.report.scale import Scale, fitting, linear, logarithmic, round_step

FINITE = st.floats(min_value=-1e100, max_value=1e100)
VALUES = st.lists(FINITE, min_size=1, max_size=20)
POSITIVE = st.lists(st.floats(min_value=1e-99, max_value=1e99), min_size=1, max_size=20)


def test_the_examples_are_right() -> None:
    assert doctest.testmod(scales).failed == 0


def check(scale: Scale, values: list[float]) -> None:
    assert math.isfinite(scale.low)
    assert scale.low < scale.high < math.inf
    assert 1 <= len(scale.ticks) <= 20
    assert list(scale.ticks) == sorted(set(scale.ticks))
    places = [scale.place(value) for value in sorted(values)]
    assert places == sorted(places), "a larger value is never put lower"
    assert all(0 <= place <= 1 for place in places)
    assert all(0 <= tick.place <= 1 for tick in scale.labelled())


@given(VALUES, st.booleans(), st.sampled_from([0.0, 1.0]))
def test_any_finite_values_fit_on_a_linear_scale(values: list[float], zero: bool, least_step: float) -> None:
    scale = linear(values, zero=zero, least_step=least_step)
    check(scale, values)
    size = max(1e-90, *map(abs, values)) * 1e-6
    assert scale.low <= min(values) + size
    assert scale.high >= max(values) - size


@given(POSITIVE)
def test_any_positive_values_fit_on_a_logarithmic_scale(values: list[float]) -> None:
    check(logarithmic(values), values)
    check(fitting(values), values)


@given(VALUES, FINITE)
def test_a_ceiling_never_makes_a_scale_without_width(values: list[float], ceiling: float) -> None:
    check(linear(values, zero=True, ceiling=ceiling), values)


@given(st.floats(min_value=1e-99, max_value=1e99))
def test_a_step_is_one_two_or_five_times_a_power_of_ten(width: float) -> None:
    step = round_step(width)
    assert width * (1 - 1e-6) <= step <= width * 2.5 * (1 + 1e-6)
    assert f"{step:.6e}"[:8] in ("1.000000", "2.000000", "5.000000")


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.742, 0.98], ["0.70", "0.75", "0.80", "0.85", "0.90", "0.95", "1.00"]),
        ([0.0, 12_345.0], ["0", "5,000", "10,000", "15,000"]),
        ([3.0], ["2.6", "2.8", "3.0", "3.2", "3.4"]),
        ([0.0], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ([0.0, 3e-6], ["0", "1e-06", "2e-06", "3e-06"]),
    ],
)
def test_labels_have_the_decimals_that_tell_ticks_apart(values: list[float], labels: list[str]) -> None:
    assert [tick.text for tick in linear(values).labelled()] == labels


def test_an_accuracy_scale_ends_at_a_hundred() -> None:
    scale = linear([71.0, 99.2], ceiling=100.0)
    assert (scale.low, scale.high) == (70.0, 100.0)


def test_a_loss_that_ran_away_is_shown_by_powers_of_ten() -> None:
    scale = fitting([0.5, 2.0, 40_000.0])
    assert scale.logarithmic
    assert [tick.text for tick in scale.labelled()] == ["0.1", "1", "10", "100", "1,000", "10,000", "100,000"]
    assert not fitting([0.0, 40_000.0]).logarithmic, "zero has no logarithm"
    assert not fitting([0.01, 2.3]).logarithmic
