"""Segments trained in one process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.gangs import first_state, make_shard, make_shards, make_task, taken, train

from sparkweave.data.shard import Shard
from sparkweave.strategies import AllReduce, GradientSharing, ParameterAveraging, Strategy
from sparkweave.training.one_process import alone, parts, train_in_one_process
from sparkweave.training.state import TrainingState

WITHOUT_BATCH_STATISTICS = {"name": "plain", "layers": ["Flatten", {"Linear": {"out_features": "classes"}}]}


def ignore(_: object) -> None:
    pass


@pytest.mark.parametrize("strategy", [AllReduce(), ParameterAveraging(), GradientSharing()], ids=lambda s: s.name)
def test_ranks_that_are_threads_learn_what_workers_learn(strategy: Strategy) -> None:
    task, shards = make_task(strategy, (9, 8), epochs=1), make_shards((9, 8))
    trained = train_in_one_process(task, first_state(task), shards, threads=torch.get_num_threads(), report=ignore)
    blobs = [state for state, _ in train(task, shards)]
    expected = TrainingState.from_blobs(1, blobs[0] | blobs[1]).folded()
    assert trained.weights.keys() == expected.weights.keys()
    for name, tensor in expected.weights.items():
        assert torch.equal(tensor, trained.weights[name]), name
    tallies = [tally for _, tallies in train(task, shards) for tally in tallies]
    assert trained.loss == sum(tally.loss for tally in tallies) / 17


def test_torch_is_left_as_it_was() -> None:
    task = make_task(AllReduce(), (8,), epochs=1)
    generator, threads = torch.get_rng_state(), torch.get_num_threads()
    train_in_one_process(task, first_state(task), make_shards((8,)), threads=threads + 1, report=ignore)
    assert torch.equal(generator, torch.get_rng_state())
    assert torch.get_num_threads() == threads


def test_what_the_report_raises_ends_it() -> None:
    task = make_task(AllReduce(), (8, 8), epochs=1)

    def interrupted(_: object) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        train_in_one_process(task, first_state(task), make_shards((8, 8)), threads=1, report=interrupted)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(any))
def test_parts_of_a_whole_are_the_shards_it_was_made_of(sizes: list[int]) -> None:
    whole = make_shard(sum(sizes))
    found = parts(whole, sizes)
    assert [len(shard) for shard in found] == sizes
    for shard, start in zip(found, np.cumsum([0, *sizes]), strict=False):
        assert np.shares_memory(shard.inputs, whole.inputs) or not len(shard)
        positions = shard.order + start
        assert positions.tolist() == [place for place in whole.order if start <= place < start + len(shard)]


def in_steps(task: Any, shards: Sequence[Shard]) -> list[list[int]]:
    """The brightness of what is taken at each step, all ranks' together."""
    by_rank = [
        [shard.inputs[chosen].sum(axis=(1, 2, 3)) for chosen in taken(task, shard, rank)]
        for rank, shard in enumerate(shards)
    ]
    return [sorted(np.concatenate(step).tolist()) for step in zip(*by_rank, strict=True)]


def test_a_lone_worker_takes_in_each_step_what_the_ranks_take() -> None:
    whole, task = make_shard(24), make_task(ParameterAveraging(), (12, 12), epochs=1)
    lone, shard = alone(task, whole, AllReduce())
    assert (lone.sizes, lone.config.batch_size, lone.strategy) == ((24,), 8, AllReduce())
    assert in_steps(lone, [shard]) == in_steps(task, parts(whole, task.sizes))


@pytest.mark.parametrize("sizes", [(13, 10, 4), (1, 9), (5,)], ids=str)
def test_a_lone_worker_takes_all_images_of_uneven_shards_too(sizes: tuple[int, ...]) -> None:
    whole, task = make_shard(sum(sizes)), make_task(AllReduce(), sizes, epochs=1)
    lone, shard = alone(task, whole, AllReduce())
    assert sorted(shard.order.tolist()) == list(range(sum(sizes)))
    assert lone.schedule.steps <= task.schedule.steps


def test_workers_whose_gradients_are_averaged_learn_what_a_lone_worker_learns() -> None:
    whole = make_shard(24)
    task = make_task(AllReduce(), (12, 12), network=WITHOUT_BATCH_STATISTICS, epochs=1)
    start = first_state(task)
    together = train_in_one_process(task, start, parts(whole, task.sizes), threads=1, report=ignore)
    lone, shard = alone(task, whole, AllReduce())
    by_itself = train_in_one_process(lone, start, [shard], threads=1, report=ignore)
    for name, tensor in together.weights.items():
        torch.testing.assert_close(tensor, by_itself.weights[name], rtol=1e-4, atol=1e-6)
