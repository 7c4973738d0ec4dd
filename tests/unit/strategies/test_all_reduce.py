"""Averaging gradients at every step."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tests.unit.gangs import make_shards, make_task, taken, train, train_plainly
from torch import nn

from sparkweave.data.shard import Shard
from sparkweave.distributed.collective import Collective
from sparkweave.distributed.in_process import run_gang
from sparkweave.strategies import AllReduce, Replica
from sparkweave.training.state import TrainingState

WITHOUT_BATCH_STATISTICS = {
    "name": "plain",
    "layers": [
        {"Conv2d": {"out_channels": 4, "kernel_size": 3}},
        "ReLU",
        "Flatten",
        {"Linear": {"out_features": "classes"}},
    ],
}


@pytest.mark.parametrize("sizes", [(16, 16), (15, 10), (16, 0)], ids=str)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_two_workers_train_as_one_on_the_union_of_their_batches(sizes: tuple[int, int], optimizer: str) -> None:
    task = make_task(AllReduce(), sizes, network=WITHOUT_BATCH_STATISTICS, epochs=1, optimizer=optimizer)
    shards = make_shards(sizes)
    (blobs, _), _ = train(task, shards)
    steps = zip(*(taken(task, shard, rank) for rank, shard in enumerate(shards)), strict=True)
    expected = train_plainly(task, (union(shards, chosen) for chosen in steps))
    actual = TrainingState.from_blobs(1, blobs).weights
    assert all(torch.allclose(actual[name], expected[name], rtol=0, atol=1e-5) for name in expected)


def union(
    shards: Sequence[Shard], chosen: Sequence[npt.NDArray[np.int64]]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    pairs = list(zip(shards, chosen, strict=True))
    pixels = np.concatenate([shard.inputs[positions] for shard, positions in pairs])
    return pixels, np.concatenate([shard.targets[positions] for shard, positions in pairs])


def averaged_gradients(
    collective: Collective, gradients: Sequence[float | None], examples: Sequence[int]
) -> list[list[float]]:
    """The gradients of a network of two parameters, the second of which never has one, after two steps."""
    network = nn.ParameterList([nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))])
    replica = Replica(network, torch.optim.SGD(network.parameters(), lr=1))
    synchronizer = AllReduce().synchronizer(replica, collective)
    for _ in range(2):
        replica.optimizer.zero_grad()
        gradient = gradients[collective.rank]
        network[0].grad = None if gradient is None else torch.full((2,), gradient)
        synchronizer.gradients_ready(examples[collective.rank], sum(examples))
    return [parameter.grad.tolist() for parameter in replica.parameters() if parameter.grad is not None]


def test_gradients_are_weighted_by_examples() -> None:
    work = functools.partial(averaged_gradients, gradients=(1.0, 5.0), examples=(3, 1))
    assert run_gang(2, work) == [[[2.0, 2.0], [0.0]]] * 2


def test_a_worker_without_examples_or_gradients_adds_nothing() -> None:
    work = functools.partial(averaged_gradients, gradients=(3.0, float("nan"), None), examples=(2, 0, 2))
    assert run_gang(3, work) == [[[1.5, 1.5], [0.0]]] * 3


def test_one_worker_keeps_its_gradients_as_they_are() -> None:
    work = functools.partial(averaged_gradients, gradients=(1.25,), examples=(3,))
    assert run_gang(1, work) == [[[1.25, 1.25]]]


def test_running_statistics_are_averaged_by_examples_at_the_end_of_an_epoch() -> None:
    def work(collective: Collective) -> tuple[list[float], int]:
        network = nn.BatchNorm1d(2)
        replica = Replica(network, torch.optim.SGD(network.parameters(), lr=1))
        synchronizer = AllReduce().synchronizer(replica, collective)
        network.running_mean.fill_(10.0 * collective.rank)  # type: ignore[union-attr, operator]
        network.num_batches_tracked.fill_(7 - collective.rank)  # type: ignore[union-attr, operator]
        for examples in (1, 2):
            synchronizer.gradients_ready(examples * (1 + 2 * collective.rank), examples * 4)
        synchronizer.epoch_ended()
        return network.running_mean.tolist(), int(network.num_batches_tracked)  # type: ignore[union-attr, arg-type, operator, return-value]

    assert run_gang(2, work) == [([7.5, 7.5], 7)] * 2


def test_every_step_sends_every_gradient() -> None:
    task = make_task(AllReduce(), (8, 8), network=WITHOUT_BATCH_STATISTICS, epochs=1)
    parameters = 4 * 9 + 4 + 4 * 36 * 3 + 3
    assert [tallies[0].bytes_sent for _, tallies in train(task, make_shards((8, 8)))] == [2 * 4 * parameters] * 2
