from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.report.histories import step_measured

from sparkweave.report.profile import PARTS, Split, mean_split, profiles, slowest, split_of

SECONDS = st.floats(min_value=0, max_value=1e6)
SPLITS = st.builds(Split, **dict.fromkeys(PARTS, SECONDS))


@given(SPLITS)
def test_shares_add_up(split: Split) -> None:
    assert sum(split.share(part) for part in PARTS) == pytest.approx(1.0 if split.total else 0.0)
    assert split.busy + split.wait == pytest.approx(split.total)


@given(st.lists(SPLITS, min_size=1, max_size=10))
def test_the_mean_of_parts_is_the_mean_of_totals(splits: list[Split]) -> None:
    assert mean_split(splits).total == pytest.approx(sum(split.total for split in splits) / len(splits))


def test_the_mean_of_nothing_is_nothing() -> None:
    assert mean_split([]) == Split()


def test_what_is_missing_or_negative_is_no_time() -> None:
    split = split_of(step_measured(data_seconds=math.nan, compute_seconds=-1.0, wait_seconds=2.0))
    assert (split.data, split.compute, split.wait) == (0.0, 0.0, 2.0)


def test_a_worker_that_others_wait_for_is_slow_though_all_steps_are_of_one_length() -> None:
    steps = [
        step_measured(rank=rank, compute_seconds=compute, wait_seconds=0.05 - compute)
        for rank, compute in ((0, 0.02), (1, 0.021), (2, 0.045))
        for _ in range(3)
    ]
    found = profiles(steps)
    assert [worker.is_slow for worker in found] == [False, False, True]
    assert found[2].slowness == pytest.approx(0.049 / 0.0245)
    assert [worker.steps for worker in found] == [3, 3, 3]


def test_a_first_step_that_warms_up_makes_nobody_slow() -> None:
    steps = [step_measured(rank=rank, step=step) for rank in (0, 1) for step in range(1, 10)]
    steps[0] = step_measured(rank=0, compute_seconds=30.0)
    assert not any(worker.is_slow for worker in profiles(steps))


def test_one_worker_is_not_compared() -> None:
    (worker,) = profiles([step_measured()])
    assert worker.slowness == 1.0


def test_a_worker_that_moved_has_its_hosts() -> None:
    (worker,) = profiles([step_measured(host=host) for host in ("a", "b", "a", "c", "d")])
    assert worker.host == "a, b and 2 more"


def test_the_busiest_are_chosen_and_stay_in_order() -> None:
    found = profiles([step_measured(rank=rank, compute_seconds=0.01 * rank) for rank in range(5)])
    assert [worker.rank for worker in slowest(found, at_most=2)] == [3, 4]
    assert slowest(found, at_most=9) == found
