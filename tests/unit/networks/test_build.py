"""Naming, describing and building networks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from sparkweave.errors import ConfigError
from sparkweave.networks import BUILT_IN, build_network, describe_network

SMALL = """
layers:
  - Conv2d: {out_channels: 3, kernel_size: 3}
  - ReLU
  - Flatten
  - Linear: {out_features: classes}
"""


@pytest.fixture
def small(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return str(path)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_lenet_is_the_classic_one() -> None:
    network = build_network("lenet", input_shape=(1, 28, 28), classes=10, allow_code=False)
    assert count(network) == (25 * 20 + 20) + (20 * 25 * 50 + 50) + (800 * 500 + 500) + (500 * 10 + 10)


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize(("shape", "classes"), [((1, 28, 28), 10), ((3, 32, 32), 2), ((1, 64, 48), 100)])
def test_built_in_networks_fit_other_images_and_classes(name: str, shape: tuple[int, int, int], classes: int) -> None:
    network = build_network(name, input_shape=shape, classes=classes, allow_code=False)
    assert network.training
    assert network(torch.rand(4, *shape)).shape == (4, classes)


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_same_seed_gives_the_same_parameters(name: str) -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        states.append(build_network(name, input_shape=(1, 28, 28), classes=10, allow_code=False).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_building_leaves_the_batch_statistics_at_their_start() -> None:
    network = build_network("resnet", input_shape=(1, 28, 28), classes=10, allow_code=False)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    for norm in norms:
        assert norm.num_batches_tracked == 0
        assert torch.equal(norm.running_mean, torch.zeros_like(norm.running_mean))


def test_nothing_lazy_is_left() -> None:
    network = build_network("resnet", input_shape=(1, 28, 28), classes=10, allow_code=False)
    assert not any(type(module).__name__.startswith("Lazy") for module in network.modules())
    assert all(type(parameter) is nn.Parameter for parameter in network.parameters())


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_description_survives_json_and_builds_the_same_network(name: str) -> None:
    description = json.loads(json.dumps(describe_network(name)))
    assert description["name"] == name
    assert describe_network(description) == description
    built = [build_network(spec, input_shape=(1, 28, 28), classes=10, allow_code=False) for spec in (name, description)]
    assert repr(built[0]) == repr(built[1])


def test_a_file_of_layers_is_named_after_itself_and_keeps_its_word_classes(small: str) -> None:
    description = describe_network(small)
    assert description["name"] == "small"
    assert description["layers"][-1] == {"Linear": {"out_features": "classes"}}
    assert build_network(description, input_shape=(1, 8, 8), classes=3, allow_code=False)(
        torch.rand(2, 1, 8, 8)
    ).shape == (2, 3)


def test_a_description_is_a_copy(small: str) -> None:
    description = describe_network(small)
    describe_network(description)["layers"].clear()
    assert len(description["layers"]) == 4


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"can't read .*absent\.yaml: No such file"):
        describe_network(str(tmp_path / "absent.yaml"))


@pytest.mark.parametrize("spec", ["lenett", "LeNet", "networks/lenet", "a b:c", "", "os.path", "m:f()"])
def test_an_unknown_name_lists_the_choices(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"is unknown.*lenet, mlp, resnet.*\.yaml.*package\.module:function"):
        describe_network(spec)


def test_a_near_miss_is_suggested() -> None:
    with pytest.raises(ConfigError, match=r"'lenett' is unknown \(did you mean 'lenet'"):
        describe_network("lenett")


def test_the_wrong_number_of_outputs_is_refused() -> None:
    layers = ["Flatten", {"Linear": {"out_features": 7}}]
    with pytest.raises(ConfigError, match=r"output of shape \(2, 7\); it must be \(2, 10\)"):
        build_network({"layers": layers}, input_shape=(1, 4, 4), classes=10, allow_code=False)


def test_a_layer_that_does_not_fit_is_named_with_its_input() -> None:
    layers = [{"Conv2d": {"out_channels": 2, "kernel_size": 3}}, "ReLU", {"MaxPool2d": {"kernel_size": 5}}]
    with pytest.raises(ConfigError, match=r"layer 3 \(MaxPool2d\) can't take an input of shape \(2, 2, 2\)"):
        build_network({"layers": layers}, input_shape=(1, 4, 4), classes=10, allow_code=False)


def test_a_layer_that_returns_no_tensor_is_named() -> None:
    layers = [{"MaxPool2d": {"kernel_size": 2, "return_indices": True}}]
    with pytest.raises(ConfigError, match=r"layer 1 \(MaxPool2d\) returns tuple"):
        build_network({"layers": layers}, input_shape=(1, 4, 4), classes=10, allow_code=False)


def test_a_network_too_large_for_memory_is_refused() -> None:
    layers = ["Flatten", {"Linear": {"out_features": 10**15}}]
    with pytest.raises(ConfigError, match=r"layer 2 \(Linear\)"):
        build_network({"layers": layers}, input_shape=(1, 28, 28), classes=10, allow_code=False)
