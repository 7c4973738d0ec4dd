"""Learning-rate schedules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweave import config
from sparkweave.training.learning_rate import SCHEDULES, constant, cosine, one_cycle


def test_every_schedule_that_can_be_asked_for_is_there() -> None:
    assert tuple(SCHEDULES) == config.SCHEDULES


@pytest.mark.parametrize("name", SCHEDULES)
@given(progress=st.floats(0, 1))
def test_a_factor_is_between_nothing_and_all_of_the_peak(name: str, progress: float) -> None:
    assert 0 <= SCHEDULES[name](progress) <= 1


def test_constant_stays() -> None:
    assert {constant(step / 10) for step in range(11)} == {1.0}


def test_cosine_falls_from_the_peak_to_nothing() -> None:
    assert [cosine(progress) for progress in (0, 0.25, 0.5, 1)] == pytest.approx([1, 0.853553, 0.5, 0])


def test_one_cycle_rises_for_a_quarter_and_then_falls() -> None:
    assert [one_cycle(progress) for progress in (0, 0.125, 0.25, 0.625, 1)] == pytest.approx([0.04, 0.52, 1, 0.5, 0])


@given(first=st.floats(0.25, 1), second=st.floats(0.25, 1))
def test_after_the_warm_up_the_rate_never_rises(first: float, second: float) -> None:
    earlier, later = sorted((first, second))
    assert one_cycle(earlier) >= one_cycle(later)
