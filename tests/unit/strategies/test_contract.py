"""What every strategy must keep, over every collective."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.unit.gangs import (
    GANGS,
    Trained,
    common,
    first_state,
    make_shards,
    make_task,
    run_processes,
    taken,
    train,
    train_plainly,
    train_rank,
)

from sparkweave.distributed.collective import Collective
from sparkweave.distributed.in_process import run_gang
from sparkweave.errors import CollectiveError, TrainingError
from sparkweave.strategies import STRATEGIES, AllReduce, GradientSharing, ParameterAveraging, Strategy
from sparkweave.training.state import TrainingState
from sparkweave.training.task import SegmentTask

Gang = Callable[..., list[Trained]]
CASES = {
    "all-reduce": AllReduce(),
    "averaging": ParameterAveraging(averaging_frequency=2),
    "averaging, optimizers apart": ParameterAveraging(averaging_frequency=3, save_optimizer=False),
    "averaging, outer optimizer": ParameterAveraging(averaging_frequency=2, outer_optimizer="nesterov"),
    "averaging, bfloat16": ParameterAveraging(averaging_frequency=2, averaging_precision="bfloat16"),
    "sharing": GradientSharing(),
    "sharing, stale": GradientSharing(threshold_algorithm="fixed", staleness=1, exchange_frequency=2),
    "sharing, nearly all": GradientSharing(
        threshold=1e-6, threshold_algorithm="fixed", residual_clipping=0, exchange_frequency=1
    ),
    "sharing, few": GradientSharing(threshold_algorithm="adaptive", exchange_frequency=1),
}
WITH_TORCH = {
    "all-reduce, fp16": AllReduce(compression="fp16"),
    "all-reduce, bf16": AllReduce(compression="bf16"),
    "all-reduce, powersgd": AllReduce(compression="powersgd", powersgd_rank=1),
}
LOOKS_AHEAD = {"averaging, outer optimizer"}  # a single worker's outer optimizer makes steps too
each_strategy = pytest.mark.parametrize("strategy", CASES.values(), ids=CASES)
each_gang_and_strategy = pytest.mark.parametrize(
    ("gang", "strategy"),
    [
        pytest.param(gang, strategy, id=f"{way}-{name}")
        for way, gang in GANGS.items()
        for name, strategy in (CASES if way == "threads" else CASES | WITH_TORCH).items()
    ],
)


def test_every_strategy_is_covered() -> None:
    assert {type(strategy) for strategy in CASES.values()} == set(STRATEGIES.values())


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_has_the_name_it_is_chosen_by(name: str) -> None:
    assert STRATEGIES[name].name == name


@each_gang_and_strategy
@pytest.mark.parametrize("sizes", [(12, 12), (23, 2), (9, 17)], ids=str)
def test_replicas_are_the_same_bit_for_bit(strategy: Strategy, gang: Gang, sizes: tuple[int, ...]) -> None:
    task = make_task(strategy, sizes)
    (first, _), *others = gang(task, make_shards(sizes))
    assert first["model.safetensors"] != first_state(task).to_blobs()["model.safetensors"]
    assert all(common(other) == common(first) for other, _ in others)


@each_gang_and_strategy
def test_each_epoch_uses_each_example_once_with_empty_and_unequal_shards(strategy: Strategy, gang: Gang) -> None:
    sizes = (0, 13, 3)
    trained = gang(make_task(strategy, sizes), make_shards(sizes))
    assert [[tally.examples for tally in tallies] for _, tallies in trained] == [[size, size] for size in sizes]
    assert all(common(blobs) == common(trained[0][0]) for blobs, _ in trained)
    weights = TrainingState.from_blobs(2, trained[0][0]).weights
    assert all(tensor.isfinite().all() for tensor in weights.values())


@each_strategy
def test_both_collectives_give_the_same_network(strategy: Strategy) -> None:
    task, shards = make_task(strategy, (12, 10)), make_shards((12, 10))
    threads, processes = (gang(task, shards)[0][0] for gang in GANGS.values())
    assert threads == processes


@pytest.mark.parametrize("strategy", [case for name, case in CASES.items() if name not in LOOKS_AHEAD])
@pytest.mark.parametrize(("optimizer", "options"), [("adam", {}), ("sgd", {"momentum": 0.9})], ids=["adam", "sgd"])
def test_one_worker_trains_as_a_plain_loop_does(strategy: Strategy, optimizer: str, options: dict[str, Any]) -> None:
    task = make_task(strategy, (18,), epochs=1, optimizer=optimizer, optimizer_options=options)
    shards = make_shards((18,))
    ((blobs, _),) = train(task, shards)
    trained = TrainingState.from_blobs(1, blobs).weights
    batches = taken(task, shards[0], rank=0)
    expected = train_plainly(task, ((shards[0].inputs[chosen], shards[0].targets[chosen]) for chosen in batches))
    assert all(torch.equal(trained[name], expected[name]) for name in expected)


@each_strategy
def test_a_loss_that_is_no_number_on_one_rank_ends_all_ranks(strategy: Strategy) -> None:
    work = functools.partial(train_with_a_broken_rank, task=make_task(strategy, (12, 12)))
    with pytest.raises(TrainingError, match=r"the loss is nan.*learning-rate") as failure:
        run_gang(2, work)
    assert not isinstance(failure.value, CollectiveError)


@each_strategy
def test_a_loss_that_is_no_number_in_one_process_ends_all_processes(strategy: Strategy) -> None:
    broken, victim = run_processes(2, train_with_a_broken_rank, make_task(strategy, (12, 12)))
    assert isinstance(broken, TrainingError)
    assert not isinstance(broken, CollectiveError)
    assert isinstance(victim, CollectiveError)


def train_with_a_broken_rank(collective: Collective, task: SegmentTask) -> Trained:
    blobs = first_state(task).to_blobs()
    if collective.rank == 0:
        weights = {name: tensor * float("nan") for name, tensor in first_state(task).weights.items()}
        blobs = TrainingState(epoch=0, weights=weights).to_blobs()
    return train_rank(collective, task, make_shards(task.sizes), blobs)
