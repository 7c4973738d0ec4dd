"""What training goes on from."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sparkweave.errors import ArtifactError
from sparkweave.training.state import TrainingState


def make_state(*, optimizer: bool = True) -> TrainingState:
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    adam = torch.optim.Adam(network.parameters(), betas=(0.8, 0.9))
    network(torch.ones(2, 2, 4, 4)).sum().backward()
    adam.step()
    return TrainingState(epoch=3, weights=network.state_dict(), optimizer=adam.state_dict() if optimizer else None)


def test_a_state_survives_as_bytes() -> None:
    state = make_state()
    restored = TrainingState.from_blobs(3, state.to_blobs())
    assert restored.epoch == 3
    assert set(restored.weights) == set(state.weights)
    assert all(torch.equal(restored.weights[name], tensor) for name, tensor in state.weights.items())
    assert restored.optimizer is not None
    assert state.optimizer is not None
    assert restored.optimizer["param_groups"] == state.optimizer["param_groups"]
    for index, values in state.optimizer["state"].items():
        assert all(torch.equal(restored.optimizer["state"][index][name], value) for name, value in values.items())


def test_the_same_state_gives_the_same_bytes() -> None:
    state = make_state()
    assert state.to_blobs() == TrainingState.from_blobs(3, state.to_blobs()).to_blobs()


def test_a_state_without_an_optimizer_has_one_blob() -> None:
    blobs = make_state(optimizer=False).to_blobs()
    assert list(blobs) == ["model.safetensors"]
    assert TrainingState.from_blobs(3, blobs).optimizer is None


def test_blobs_without_weights_are_an_error() -> None:
    with pytest.raises(ArtifactError, match=r"epoch 3 has no model\.safetensors; start without resuming"):
        TrainingState.from_blobs(3, {})


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors"])
def test_damaged_blobs_are_an_error(name: str) -> None:
    blobs = make_state().to_blobs()
    with pytest.raises(ArtifactError):
        TrainingState.from_blobs(3, {**blobs, name: blobs[name][:20]})
