"""What a network draws at random, and how it is set aside."""

from __future__ import annotations

import pytest
import torch
from tests.unit.gangs import RANDOM_NETWORK, first_state, make_shards, make_task, train, train_in_processes
from torch import nn
from torch.nn import functional

from sparkweave.strategies import AllReduce, GradientSharing, ParameterAveraging
from sparkweave.training.randomness import WithoutDropout, draws_random_numbers, switch_off_dropout

SHAPE = (1, 4, 4)


class Functional(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return functional.dropout(images, 0.5, self.training)


@pytest.mark.parametrize(
    "layer", [nn.Dropout(0.1), nn.Dropout2d(0.2), nn.AlphaDropout(0.3), nn.FeatureAlphaDropout(0.3)], ids=str
)
def test_dropout_of_every_kind_is_switched_off(layer: nn.Module) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(layer), nn.Flatten())
    assert draws_random_numbers(network, SHAPE)
    assert switch_off_dropout(network) == 1
    assert not draws_random_numbers(network, SHAPE)
    images = torch.ones(2, *SHAPE)
    assert torch.equal(network.train()(images), network.eval()(images))
    assert switch_off_dropout(network) == 0


def test_dropout_within_attention_and_recurrent_layers_is_switched_off() -> None:
    network = nn.ModuleList([nn.TransformerEncoderLayer(4, 2, dropout=0.1), nn.LSTM(4, 4, 2, dropout=0.1)])
    assert switch_off_dropout(network) == 5
    encoder, lstm = network
    values = torch.ones(3, 2, 4)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    encoder.train()(values)
    lstm.train()(values)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("layer", [Functional(), nn.RReLU()], ids=["functional", "RReLU"])
def test_other_random_numbers_are_noticed(layer: nn.Module) -> None:
    network = nn.Sequential(layer, nn.Flatten())
    assert switch_off_dropout(network) == 0
    state = torch.get_rng_state()
    assert draws_random_numbers(network, SHAPE)
    assert torch.equal(state, torch.get_rng_state())
    assert not draws_random_numbers(nn.Flatten(), SHAPE)


@pytest.mark.parametrize("strategy", [AllReduce(), ParameterAveraging(), GradientSharing()], ids=lambda s: s.name)
def test_threads_and_processes_learn_the_same_without_dropout(strategy: AllReduce) -> None:
    task = make_task(WithoutDropout(strategy), (9, 8), network=RANDOM_NETWORK)
    assert task.strategy.optimizer_state == strategy.optimizer_state
    shards = make_shards((9, 8))
    blobs = first_state(task).to_blobs()
    assert [state for state, _ in train(task, shards, blobs)] == [
        state for state, _ in train_in_processes(task, shards, blobs)
    ]
