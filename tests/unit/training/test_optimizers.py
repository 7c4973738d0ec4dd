"""Optimizers by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from sparkweave.errors import ConfigError
from sparkweave.training.optimizers import load_optimizer_state, make_optimizer, optimizer_class


@pytest.mark.parametrize("name", ["adam", "Adam", "ADAM"])
def test_names_are_found_in_any_case(name: str) -> None:
    assert optimizer_class(name) is torch.optim.Adam


@pytest.mark.parametrize("name", ["optimizer", "lbfgs", "SparseAdam", "lr_scheduler", "", "__doc__"])
def test_what_the_loop_cannot_drive_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"torch\.optim has no such class\. Choose from"):
        optimizer_class(name)


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"optimizer is 'adma'.*adam"):
        optimizer_class("adma")


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "adagrad"])
def test_fused_kernels_are_used_where_there_are_any(name: str) -> None:
    assert make_optimizer(nn.Linear(2, 2), name, 0.1, {}).defaults["fused"] is True


def test_the_caller_may_turn_fused_kernels_off() -> None:
    assert make_optimizer(nn.Linear(2, 2), "adam", 0.1, {"fused": False}).defaults["fused"] is False


def test_options_reach_the_class() -> None:
    optimizer = make_optimizer(nn.Linear(2, 2), "sgd", 0.1, {"momentum": 0.9, "nesterov": True})
    assert {"lr": 0.1, "momentum": 0.9, "nesterov": True}.items() <= optimizer.defaults.items()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentun": 0.9}, "no option 'momentun'; it has .*momentum"),
        ({"lr": 0.9}, "no option 'lr'"),
        ({"params": []}, "no option 'params'"),
        ({"momentum": -1.0}, "refuses its options {'momentum': -1.0}: Invalid momentum"),
        ({"nesterov": True}, "refuses its options"),
        ({"momentum": "much"}, "refuses its options"),
    ],
    ids=str,
)
def test_an_option_that_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_optimizer(nn.Linear(2, 2), "sgd", 0.1, options)


@pytest.mark.parametrize("network", [nn.Flatten(), nn.Linear(2, 2).requires_grad_(requires_grad=False)])
def test_a_network_with_nothing_to_train_is_refused(network: nn.Module) -> None:
    with pytest.raises(ConfigError, match="no trainable parameters"):
        make_optimizer(network, "adam", 0.1, {})


def test_frozen_parameters_are_left_out() -> None:
    network = nn.Sequential(nn.Linear(2, 2).requires_grad_(requires_grad=False), nn.Linear(2, 1))
    assert len(make_optimizer(network, "adam", 0.1, {}).param_groups[0]["params"]) == 2


@pytest.mark.parametrize("name", ["adam", "sgd", "adadelta", "rmsprop", "nadam", "adamax", "asgd", "rprop", "radam"])
def test_a_loaded_state_goes_on_as_the_original_and_is_laid_out_as_the_parameters(name: str) -> None:
    def network() -> nn.Module:
        torch.manual_seed(0)
        return nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def step(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        network(torch.ones(2, 3, 5, 5)).square().sum().backward()
        optimizer.step()

    options = {"momentum": 0.9} if name == "sgd" else {}
    first = network()
    optimizer = make_optimizer(first, name, 0.01, options)
    step(first, optimizer)
    second = network()
    second.load_state_dict(first.state_dict())
    state = optimizer.state_dict()
    contiguous = {
        **state,
        "state": {
            index: {
                key: value.clone(memory_format=torch.contiguous_format) if torch.is_tensor(value) else value
                for key, value in entry.items()
            }
            for index, entry in state["state"].items()
        },
    }
    other = make_optimizer(second, name, 0.01, options)
    load_optimizer_state(other, contiguous)
    for parameter, values in other.state.items():
        for value in values.values():
            if torch.is_tensor(value) and value.shape == parameter.shape:
                assert value.stride() == parameter.stride()
    step(first, optimizer)
    step(second, other)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
