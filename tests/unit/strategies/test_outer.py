"""The outer optimizer."""

from __future__ import annotations

import torch
from torch import nn

from sparkweave.strategies import Replica
from sparkweave.strategies.outer import OuterStep


def make_replica() -> Replica:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 1.0)
    return Replica(network, torch.optim.SGD(network.parameters(), lr=0.1))


def move(replica: Replica, outer: OuterStep, change: float) -> float:
    """The weight after the workers' mean has changed it and the outer optimizer made its step."""
    (weight,) = replica.parameters()
    with torch.no_grad():
        weight.add_(change)
    outer.step()
    return weight.item()


def test_it_makes_the_papers_steps() -> None:
    replica = make_replica()
    outer = OuterStep(replica, 0.7, 0.9, {})
    expected, momentum = 1.0, 0.0
    for change in (-0.5, -0.25, 0.125):
        momentum = 0.9 * momentum - change
        expected -= 0.7 * (-change + 0.9 * momentum)
        assert round(move(replica, outer, change), 6) == round(expected, 6)


def test_without_momentum_and_at_the_rate_1_it_changes_nothing() -> None:
    replica = make_replica()
    outer = OuterStep(replica, 1.0, 1e-30, {})
    assert move(replica, outer, -0.5) == 0.5
    assert move(replica, outer, -0.25) == 0.25


def test_it_goes_on_from_its_state() -> None:
    straight, stopped = make_replica(), make_replica()
    outer, first = OuterStep(straight, 0.7, 0.9, {}), OuterStep(stopped, 0.7, 0.9, {})
    assert first.state() == {}
    move(straight, outer, -0.5)
    move(stopped, first, -0.5)
    second = OuterStep(stopped, 0.7, 0.9, first.state())
    assert move(straight, outer, -0.25) == move(stopped, second, -0.25)
