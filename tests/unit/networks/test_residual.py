"""The residual block."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sparkweave.networks.residual import Residual


def test_the_input_is_added_to_the_body() -> None:
    x = torch.tensor([[1.0, -2.0]])
    assert torch.equal(Residual(nn.ReLU())(x), torch.tensor([[2.0, -2.0]]))


def test_the_shortcut_replaces_the_input() -> None:
    x = torch.tensor([[1.0, -2.0]])
    assert torch.equal(Residual(nn.ReLU(), nn.ReLU())(x), torch.tensor([[2.0, 0.0]]))


def test_an_inplace_layer_after_another_leaves_the_shortcut_alone() -> None:
    body = nn.Sequential(nn.Identity(), nn.Linear(2, 2), nn.ReLU(inplace=True))
    x = torch.rand(3, 2)
    assert torch.equal(Residual(body)(x), body(x) + x)


def test_paths_of_two_shapes_are_refused_even_if_they_broadcast() -> None:
    with pytest.raises(ValueError, match=r"output \(1,\) to its shortcut's \(4,\).*give it a shortcut"):
        Residual(nn.Linear(4, 1))(torch.rand(2, 4))
