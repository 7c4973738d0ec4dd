"""Averaging parameters every few steps."""

from __future__ import annotations

import copy
import functools
from typing import Any

import pytest
import torch
from tests.unit.gangs import make_shards, make_task, train
from torch import nn

from sparkweave.distributed.collective import Collective
from sparkweave.distributed.in_process import run_gang
from sparkweave.errors import ConfigError
from sparkweave.strategies import ParameterAveraging, Replica


def make_replica(value: float, optimizer: str = "SGD", **options: Any) -> Replica:
    network = nn.Linear(2, 1)
    nn.init.constant_(network.weight, value)
    nn.init.constant_(network.bias, value)
    return Replica(network, getattr(torch.optim, optimizer)(network.parameters(), lr=0.1, **options))


@pytest.mark.parametrize("frequency", [0, -1, 2.0, True, "5", None])
def test_a_frequency_that_is_no_count_is_refused(frequency: Any) -> None:
    with pytest.raises(ConfigError, match=r"averaging_frequency is .*whole number of at least 1"):
        ParameterAveraging(averaging_frequency=frequency)


def test_parameters_are_weighted_by_the_examples_since_the_last_averaging() -> None:
    def work(collective: Collective) -> list[list[float]]:
        replica = make_replica(float(collective.rank))
        synchronizer = ParameterAveraging(averaging_frequency=2).synchronizer(replica, collective)
        seen = []
        for mine, theirs in ((1, 1), (0, 6), (4, 1), (4, 3)):  # rank 0's and rank 1's examples
            synchronizer.step_ended((mine, theirs)[collective.rank], mine + theirs)
            seen.append(replica.parameters()[0][0, 0].item())
            if len(seen) == 2:
                nn.init.constant_(replica.network.weight, float(collective.rank))
        return seen

    zero, one = run_gang(2, work)
    assert zero == pytest.approx([0, 7 / 8, 0, 4 / 12])
    assert one == pytest.approx([1, 7 / 8, 1, 4 / 12])


def test_a_worker_without_examples_adds_nothing_but_takes_the_mean() -> None:
    def work(collective: Collective) -> float:
        replica = make_replica(float("nan") if collective.rank == 0 else 3.0)
        synchronizer = ParameterAveraging(averaging_frequency=1).synchronizer(replica, collective)
        synchronizer.step_ended(0 if collective.rank == 0 else 5, 5)
        return replica.parameters()[1].item()

    assert run_gang(2, work) == [3.0, 3.0]


@pytest.mark.parametrize("frequency", [1, 2, 3, 5, 9])
def test_workers_average_at_every_nth_step_and_at_the_end_of_an_epoch(frequency: int) -> None:
    def work(collective: Collective) -> list[bool]:
        replica = make_replica(0.0)
        synchronizer = ParameterAveraging(averaging_frequency=frequency).synchronizer(replica, collective)
        averaged = []
        for step in [*range(1, 6), None] * 2:
            before = collective.bytes_sent
            synchronizer.epoch_ended() if step is None else synchronizer.step_ended(1, 2)
            averaged.append(collective.bytes_sent > before)
        return averaged

    an_epoch = [step % frequency == 0 for step in range(1, 6)] + [5 % frequency != 0]
    assert run_gang(2, work) == [an_epoch * 2] * 2


def stepped(collective: Collective, save_optimizer: bool, optimizer: str, **options: Any) -> list[torch.Tensor]:
    """The optimizer's tensors after a step with a gradient of its own on each rank, and an averaging."""
    replica = make_replica(1.0, optimizer, **options)
    strategy = ParameterAveraging(averaging_frequency=1, save_optimizer=save_optimizer)
    synchronizer = strategy.synchronizer(replica, collective)
    for step in range(2):
        for parameter in replica.parameters():
            parameter.grad = torch.full_like(parameter, 1.0 + collective.rank + step)
        replica.optimizer.step()
        if step == 1:
            before = copy.deepcopy(replica.optimizer_tensors())
        synchronizer.step_ended(1, 2)
    return [torch.cat([tensor.flatten() for tensor in tensors]) for tensors in (before, replica.optimizer_tensors())]


OPTIMIZERS = [
    ("SGD", {"momentum": 0.9}),
    ("Adam", {"fused": True}),
    ("AdamW", {"amsgrad": True}),
    ("RMSprop", {"centered": True}),
]


@pytest.mark.parametrize(("optimizer", "options"), OPTIMIZERS, ids=[name for name, _ in OPTIMIZERS])
def test_the_optimizers_state_is_averaged_when_it_is_kept(optimizer: str, options: dict[str, Any]) -> None:
    work = functools.partial(stepped, save_optimizer=True, optimizer=optimizer, **options)
    (before, after), (other_before, other_after) = run_gang(2, work)
    assert not torch.equal(before, other_before)
    assert torch.equal(after, other_after)
    assert torch.allclose(after, (before + other_before) / 2)


@pytest.mark.parametrize(("optimizer", "options"), OPTIMIZERS, ids=[name for name, _ in OPTIMIZERS])
def test_the_optimizers_state_stays_apart_when_it_is_not_kept(optimizer: str, options: dict[str, Any]) -> None:
    work = functools.partial(stepped, save_optimizer=False, optimizer=optimizer, **options)
    for before, after in run_gang(2, work):
        assert torch.equal(before, after)


def test_running_statistics_are_averaged_with_the_parameters() -> None:
    def work(collective: Collective) -> tuple[float, float, int]:
        network = nn.BatchNorm1d(1)
        replica = Replica(network, torch.optim.SGD(network.parameters(), lr=1))
        network.running_mean.fill_(collective.rank)  # type: ignore[union-attr, operator]
        network.running_var.fill_(5 + collective.rank)  # type: ignore[union-attr, operator]
        network.num_batches_tracked.fill_(3 * collective.rank)  # type: ignore[union-attr, operator]
        synchronizer = ParameterAveraging().synchronizer(replica, collective)
        synchronizer.step_ended((3, 1)[collective.rank], 4)
        synchronizer.epoch_ended()
        mean, variance, batches = network.buffers()
        return mean.item(), variance.item(), int(batches)

    assert run_gang(2, work) == [(0.25, 5.25, 3)] * 2


def test_an_optimizer_that_is_not_kept_is_fresh_in_every_epoch() -> None:
    options = {"optimizer": "sgd", "optimizer_options": {"momentum": 0.9}, "schedule": "constant"}
    apart = make_task(ParameterAveraging(save_optimizer=False), (8,), epochs=2, **options)
    kept = make_task(ParameterAveraging(save_optimizer=True), (8,), epochs=2, **options)
    shards = make_shards((8,))
    ((blobs, _),), ((other, _),) = train(apart, shards), train(kept, shards)
    assert set(blobs) < set(other)
    assert blobs["model.safetensors"] != other["model.safetensors"]


def test_the_moments_of_a_parameter_that_is_a_scalar_are_averaged_and_its_steps_are_not() -> None:
    network = torch.nn.ParameterDict({"scale": torch.nn.Parameter(torch.tensor(1.0))})
    replica = Replica(network, torch.optim.Adam(network.parameters()))
    network["scale"].grad = torch.tensor(2.0)
    replica.optimizer.step()
    assert [round(tensor.item(), 4) for tensor in replica.optimizer_tensors()] == [0.2, 0.004]
