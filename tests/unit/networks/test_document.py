"""The schema of network files."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from sparkweave.errors import ConfigError
from sparkweave.networks.document import MAX_DEPTH, MAX_LAYERS, build_layers, check_document
from sparkweave.networks.residual import Residual
from sparkweave.strict_yaml import parse_yaml


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (None, "must be a mapping with a list of 'layers', not nothing"),
        ([{"Conv2d": {}}], "must be a mapping with a list of 'layers', not a list"),
        ({}, "must have 'layers' or 'factory'"),
        ({"layers": ["ReLU"], "factory": "a:b"}, "must have 'layers' or 'factory', one of them"),
        ({"layer": ["ReLU"]}, r"unknown key 'layer' \(did you mean 'layers'\?\); it takes name, layers, factory"),
        ({"name": 3, "layers": ["ReLU"]}, "name is 3; it must be text"),
        ({"factory": 3}, "factory is 3; it must be text"),
        ({"layers": []}, "layers must be a list with at least one layer"),
        ({"layers": {"ReLU": None}}, "layers must be a list with at least one layer, not a mapping"),
        ({"layers": [3]}, "entry 1 must be a layer's name, or one name with its arguments, not int: 3"),
        ({"layers": ["ReLU", {"ReLU": None, "Flatten": None}]}, "entry 2 must be a layer's name"),
        ({"layers": [{3: None}]}, "entry 1 must be a layer's name"),
        ({"layers": [{"MaxPool2d": 2}]}, r"\(MaxPool2d\): arguments must be a mapping such as .*, not int: 2"),
        ({"layers": [{"MaxPool2d": {2: 2}}]}, r"\(MaxPool2d\): arguments must be a mapping"),
        ({"layers": ["Residual"]}, "needs a 'body'"),
        ({"layers": [{"Residual": {"body": ["ReLU"], "shortcuts": []}}]}, r"'shortcuts' \(did you mean 'shortcut'\?\)"),
        ({"layers": [{"Residual": {"body": ["ReLU"], "shortcut": []}}]}, "shortcut must be a list with at least one"),
        (
            {"layers": [{"Residual": {"body": [{"ReLU": {"inplace": True}}]}}]},
            r"body: its first layer \(ReLU\) can't be 'inplace'",
        ),
        ({"layers": [{"Residual": {"body": [5]}}]}, r"entry 1 \(Residual\), body, entry 1 must be a layer's name"),
    ],
)
def test_a_broken_frame_is_refused(document: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_document(document, origin="net.yaml")


def test_every_error_names_its_origin() -> None:
    with pytest.raises(ConfigError, match=r"^net\.yaml, layers, entry 1"):
        check_document({"layers": [3]}, origin="net.yaml")


def test_too_many_layers_are_refused() -> None:
    with pytest.raises(ConfigError, match=f"more than {MAX_LAYERS:,} layers"):
        check_document({"layers": ["ReLU"] * (MAX_LAYERS + 1)}, origin="net.yaml")


def test_aliases_that_multiply_are_refused_quickly() -> None:
    lines = ["layers:", "  - Residual: {body: &a0 [ReLU, ReLU, ReLU, ReLU, ReLU, ReLU, ReLU, ReLU]}"]
    for n in range(1, 15):
        again = ", ".join(f"{{Residual: {{body: *a{n - 1}}}}}" for _ in range(8))
        lines.append(f"  - Residual: {{body: &a{n} [{again}]}}")
    with pytest.raises(ConfigError, match="more than"):
        check_document(parse_yaml("\n".join(lines), origin="net.yaml"), origin="net.yaml")


def test_a_cycle_is_refused() -> None:
    layers: list[Any] = []
    layers.append({"Residual": {"body": layers}})
    with pytest.raises(ConfigError, match=f"nested deeper than {MAX_DEPTH} levels"):
        check_document({"layers": layers}, origin="net.yaml")


def test_residual_blocks_hold_their_paths() -> None:
    text = """
    - Residual:
        body:
          - Conv2d: {in_channels: 4, out_channels: 8, kernel_size: 3, stride: 2, padding: 1}
          - ReLU
        shortcut:
          - Conv2d: {in_channels: 4, out_channels: 8, kernel_size: 1, stride: 2}
    """
    block = build_layers(parse_yaml(text, origin="text"), classes=10)[0]
    assert isinstance(block, Residual)
    assert [type(layer) for layer in block.body] == [nn.Conv2d, nn.ReLU]
    assert [type(layer) for layer in block.shortcut] == [nn.Conv2d]


def test_an_error_inside_a_residual_block_names_the_way_to_it() -> None:
    layers = [{"Residual": {"body": ["ReLU", "ReLu"]}}]
    with pytest.raises(ConfigError, match=r"layer 1 \(Residual\), body layer 2 \(ReLu\): torch.nn has no layer 'ReLu'"):
        build_layers(layers, classes=10)


def test_classes_stands_for_their_number() -> None:
    layer = build_layers([{"Linear": {"in_features": 5, "out_features": "classes"}}], classes=7)[0]
    assert layer.out_features == 7
