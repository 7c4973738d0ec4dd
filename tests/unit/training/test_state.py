"""What training goes on from."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from sparkweave.errors import ArtifactError
from sparkweave.training.state import TrainingState, rank_of


def make_state(*, optimizer: bool = True) -> TrainingState:
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    adam = torch.optim.Adam(network.parameters(), betas=(0.8, 0.9))
    network(torch.ones(2, 2, 4, 4)).sum().backward()
    adam.step()
    return TrainingState(epoch=3, weights=network.state_dict(), optimizer=adam.state_dict() if optimizer else None)


OWN = {"residual": {"1.bias": torch.ones(3)}, "threshold": 0.1, "steps": 4}


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


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.safetensors", "strategy.safetensors", "worker-00000.safetensors"]
)
def test_damaged_blobs_are_an_error(name: str) -> None:
    blobs = dataclasses.replace(make_state(), shared={"momentum": torch.ones(2)}, local={0: OWN}).to_blobs()
    with pytest.raises(ArtifactError):
        TrainingState.from_blobs(3, {**blobs, name: blobs[name][:20]})


def test_what_workers_keep_to_themselves_survives_as_bytes_of_their_own() -> None:
    state = dataclasses.replace(make_state(), shared={"momentum": torch.ones(2)}, local={0: OWN, 12: OWN})
    blobs = state.to_blobs()
    assert [name for name in blobs if rank_of(name) is not None] == [
        "worker-00000.safetensors",
        "worker-00012.safetensors",
    ]
    assert [rank_of(name) for name in blobs if rank_of(name) is not None] == [0, 12]
    restored = TrainingState.from_blobs(3, blobs)
    assert torch.equal(restored.shared["momentum"], torch.ones(2))
    assert sorted(restored.local) == [0, 12]
    assert restored.local[12]["threshold"] == 0.1
    assert torch.equal(restored.local[12]["residual"]["1.bias"], torch.ones(3))
    assert restored.to_blobs() == blobs


def test_one_network_has_all_that_the_workers_kept_back_and_their_optimizers_mean() -> None:
    def own(value: float) -> dict[str, Any]:
        moments = {"step": torch.tensor(7.0), "exp_avg": torch.full((2,), value)}
        return {
            "residual": {"1.bias": torch.full((3,), value)},
            "threshold": value,
            "optimizer": {"state": {0: moments}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        }

    state = dataclasses.replace(make_state(optimizer=False), local={0: own(1.0), 1: own(4.0)})
    folded = state.folded()
    assert torch.equal(folded.weights["1.bias"], state.weights["1.bias"] + 1.0 + 4.0)
    assert torch.equal(folded.weights["0.bias"], state.weights["0.bias"])
    assert not folded.local
    assert folded.optimizer is not None
    assert folded.optimizer["param_groups"] == [{"lr": 0.1, "params": [0]}]
    assert folded.optimizer["state"][0]["exp_avg"].tolist() == [2.5, 2.5]
    assert folded.optimizer["state"][0]["step"].item() == 7
    assert folded.folded() is folded
