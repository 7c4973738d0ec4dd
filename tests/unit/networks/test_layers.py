"""Layers by name."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from sparkweave.errors import ConfigError
from sparkweave.networks.layers import layer_classes, make_layer, suggest


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("Conv2d", {"out_channels": 2, "kernel_size": 3}, nn.LazyConv2d),
        ("Conv2d", {"in_channels": 1, "out_channels": 2, "kernel_size": 3}, nn.Conv2d),
        ("Linear", {"out_features": 2}, nn.LazyLinear),
        ("Linear", {"in_features": 2, "out_features": 2}, nn.Linear),
        ("BatchNorm2d", {}, nn.LazyBatchNorm2d),
        ("BatchNorm2d", {"num_features": 2, "eps": 1e-3}, nn.BatchNorm2d),
        ("LazyLinear", {"out_features": 2}, nn.LazyLinear),
        ("Dropout", {"p": 0.25}, nn.Dropout),
        ("LayerNorm", {"normalized_shape": [4, 4]}, nn.LayerNorm),
    ],
)
def test_sizes_left_out_are_inferred(name: str, arguments: dict[str, Any], expected: type[nn.Module]) -> None:
    assert type(make_layer(name, arguments, where="layer 1")) is expected


def test_lists_become_tuples() -> None:
    layer = make_layer("Conv2d", {"in_channels": 1, "out_channels": 2, "kernel_size": [3, 5]}, where="layer 1")
    assert layer.kernel_size == (3, 5)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("Conv2D", {}, r"layer 1: torch.nn has no layer 'Conv2D' \(did you mean 'Conv2d'"),
        ("Sequential", {}, "no layer 'Sequential'"),
        ("CrossEntropyLoss", {}, "no layer 'CrossEntropyLoss'"),
        ("Module", {}, "no layer 'Module'"),
        ("DataParallel", {}, "no layer 'DataParallel'"),
        ("functional", {}, "no layer 'functional'"),
        ("__builtins__", {}, "no layer '__builtins__'"),
        (
            "Conv2d",
            {"chanels": 3},
            r"Conv2d has no argument 'chanels'.*; it takes in_channels, out_channels, kernel_size",
        ),
        ("Conv2d", {"kernel": 3}, r"no argument 'kernel' \(did you mean 'kernel_size'\?\)"),
        ("ReLU", {"device": "cuda"}, "ReLU has no argument 'device'; it takes inplace"),
        ("Tanh", {"x": 1}, "Tanh has no argument 'x'; it takes none"),
        ("Linear", {"out_features": 2, "dtype": "float64"}, "no argument 'dtype'"),
        ("Conv2d", {"out_channels": 3}, r"torch refuses Conv2d\(out_channels=3\): .*kernel_size"),
        ("Dropout", {"p": 3}, r"torch refuses Dropout\(p=3\): dropout probability"),
        ("Dropout", {"p": float("nan")}, "layer 1, p is nan; numbers must be finite"),
        ("Dropout", {"p": {"a": 1}}, "layer 1, p is {'a': 1}; it must be a number"),
    ],
)
def test_what_torch_does_not_know_is_refused(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_layer(name, arguments, where="layer 1")


def test_layers_are_modules_of_torch_alone() -> None:
    classes = layer_classes()
    assert {"Conv2d", "BatchNorm2d", "GELU", "Upsample", "GroupNorm", "Dropout2d", "PReLU"} <= set(classes)
    assert not {"Sequential", "ModuleList", "MSELoss", "LSTM", "Parameter", "Module"} & set(classes)


def test_suggestions_ignore_case() -> None:
    assert suggest("relu", ["ReLU", "Flatten"]) == " (did you mean 'ReLU'?)"
    assert suggest("zzz", ["ReLU"]) == ""
