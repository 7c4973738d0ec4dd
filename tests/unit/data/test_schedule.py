"""Who takes which examples at which step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweave.data.schedule import Schedule, generator, merge_sizes, permutation

sizes = st.lists(st.integers(0, 300), min_size=1, max_size=6).filter(any).map(tuple)


@given(sizes=sizes, batch_size=st.integers(1, 64))
def test_each_example_is_taken_once_in_the_same_number_of_steps(sizes: tuple[int, ...], batch_size: int) -> None:
    schedule = Schedule(sizes, batch_size)
    for rank, size in enumerate(sizes):
        bounds = schedule.bounds(rank)
        assert len(bounds) == schedule.steps + 1
        assert (bounds[0], bounds[-1]) == (0, size)
        batches = np.diff(bounds)
        assert batches.min() >= 0
        assert batches.max() <= batch_size
        assert batches.max() - batches.min() <= 1
    assert schedule.steps == -(-max(sizes) // batch_size)


@given(sizes=sizes, batch_size=st.integers(1, 64))
def test_totals_are_the_sums_over_workers_and_never_nothing(sizes: tuple[int, ...], batch_size: int) -> None:
    schedule = Schedule(sizes, batch_size)
    each = [np.diff(schedule.bounds(rank)) for rank in range(len(sizes))]
    assert schedule.totals() == np.sum(each, axis=0).tolist()
    assert min(schedule.totals()) >= 1
    assert sum(schedule.totals()) == sum(sizes)


def test_without_examples_there_are_no_steps() -> None:
    schedule = Schedule((0, 0), 10)
    assert (schedule.steps, schedule.bounds(1), schedule.totals()) == (0, [0], [])


@given(examples=st.integers(0, 200), seed=st.integers(0, 2**70), epoch=st.integers(1, 100), rank=st.integers(0, 50))
def test_a_permutation_holds_each_example_once_and_can_be_made_again(
    examples: int, seed: int, epoch: int, rank: int
) -> None:
    order = permutation(examples, seed=seed, epoch=epoch, rank=rank)
    assert sorted(order.tolist()) == list(range(examples))
    assert np.array_equal(order, permutation(examples, seed=seed, epoch=epoch, rank=rank))


@pytest.mark.parametrize("other", [{"seed": 2}, {"epoch": 2}, {"rank": 2}], ids=str)
def test_another_seed_epoch_or_rank_gives_another_order(other: dict[str, int]) -> None:
    place = {"seed": 1, "epoch": 1, "rank": 1}
    assert not np.array_equal(permutation(50, **place), permutation(50, **{**place, **other}))


def test_each_purpose_has_a_generator_of_its_own() -> None:
    one, other = (generator(1, purpose, 1, 1).integers(2**60) for purpose in ("shuffle", "augment"))
    assert one != other


def test_blocks_of_one_shard_add_up() -> None:
    assert merge_sizes([(0, 3), (2, 4), (0, 5)], 4) == (8, 0, 4, 0)
