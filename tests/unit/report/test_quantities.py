from __future__ import annotations

import doctest
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweave.report import quantities
from sparkweave.report.quantities import BYTES, NOTHING, SECONDS, digits, duration, percent, show, unit_for


def test_the_examples_are_right() -> None:
    assert doctest.testmod(quantities).failed == 0


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 µs"),
        (2e-6, "2 µs"),
        (0.0314, "31.4 ms"),
        (1.5, "1.5 s"),
        (150, "150 s"),
        (600, "10 min"),
        (86_400, "24 h"),
    ],
)
def test_a_unit_is_chosen_that_keeps_numbers_short(seconds: float, shown: str) -> None:
    assert show(seconds, SECONDS).replace("\N{NO-BREAK SPACE}", " ") == shown


@pytest.mark.parametrize("figure", [None, math.nan, math.inf, -math.inf])
def test_what_is_missing_or_not_finite_is_a_dash(figure: float | None) -> None:
    assert show(figure, BYTES) == NOTHING


def test_a_share_that_is_not_finite_is_a_dash() -> None:
    assert percent(math.nan) == duration(math.nan) == NOTHING


@given(st.floats(min_value=-1e100, max_value=1e100))
def test_three_digits_are_within_half_a_percent(number: float) -> None:
    assert float(digits(number).replace(",", "")) == pytest.approx(number, rel=0.005, abs=1e-300)


@given(st.floats(min_value=0, max_value=1e100))
def test_some_unit_fits_whatever_the_amount(amount: float) -> None:
    assert unit_for(amount, BYTES).since <= amount
    assert unit_for(amount, SECONDS).since <= amount
