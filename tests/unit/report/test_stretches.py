from __future__ import annotations

import doctest
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweave.report import stretches as module
from sparkweave.report.stretches import Point, stretches

FINITE = st.floats(min_value=-1e100, max_value=1e100)
POINTS = st.lists(st.tuples(FINITE, FINITE), max_size=60)


def test_the_examples_are_right() -> None:
    assert doctest.testmod(module).failed == 0


@given(POINTS, st.integers(1, 20))
def test_every_point_is_in_one_stretch_and_within_its_range(points: list[Point], at_most: int) -> None:
    found = stretches(points, at_most=at_most)
    assert len(found) <= at_most
    assert sum(stretch.count for stretch in found) == len(points)
    assert [stretch.x for stretch in found] == sorted(stretch.x for stretch in found)
    assert all(stretch.low <= stretch.mean <= stretch.high for stretch in found)
    if points:
        assert min(stretch.low for stretch in found) == min(y for _, y in points)
        assert max(stretch.high for stretch in found) == max(y for _, y in points)


@given(st.lists(st.integers(-1000, 1000), unique=True, max_size=20))
def test_few_points_are_left_as_they_are(places: list[int]) -> None:
    found = stretches([(float(x), x * 2.0) for x in places], at_most=20)
    assert [(stretch.x, stretch.mean, stretch.count) for stretch in found] == [(x, x * 2.0, 1) for x in sorted(places)]


def test_a_spike_among_many_is_in_the_range_of_its_stretch() -> None:
    points = [(float(x), 9.0 if x == 777 else 1.0) for x in range(1000)]
    assert [(stretch.low, stretch.high) for stretch in stretches(points, at_most=10) if stretch.high > 1] == [
        (1.0, 9.0)
    ]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_points_that_are_not_finite_are_left_out(bad: float) -> None:
    assert [stretch.x for stretch in stretches([(1, bad), (bad, 1), (3, 1)], at_most=5)] == [3]
    assert stretches([(1, bad)], at_most=5) == []
