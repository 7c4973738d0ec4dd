"""From what a user names as a network to an `nn.Module` that fits the images and the classes.

A network's *description* is plain data that JSON can hold: the whole document of layers, or the name of user code. A
saved model keeps it, so that a built-in network may change later without breaking old models. Only user code has to be
there again when such a model is loaded, and it is imported only with the caller's leave.
"""

from __future__ import annotations

import copy
import importlib.resources
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sparkweave.errors import ConfigError
from sparkweave.networks.document import build_layers, check_document, split_entry
from sparkweave.networks.layers import suggest
from sparkweave.networks.user_code import build_from_code, is_factory_name
from sparkweave.strict_yaml import parse_yaml, read_yaml

BUILT_IN = ("lenet", "mlp", "resnet")
_FILE_ENDINGS = (".yaml", ".yml")


def describe_network(spec: str | Mapping[str, Any]) -> dict[str, Any]:
    """The self-contained description of a network; nothing is imported or built.

    Args:
        spec: A built-in network's name, the path of a network file, ``package.module:function``, or a description.

    Returns:
        ``{"name": …, "layers": […]}`` or ``{"name": …, "factory": "package.module:function"}``.

    Raises:
        ConfigError: if it is none of these, or breaks the schema of `sparkweave.networks.document`.
    """
    if isinstance(spec, Mapping):
        return _checked(spec, origin="the network's description", name="network")
    if spec in BUILT_IN:
        text = (importlib.resources.files(__package__) / "builtin" / f"{spec}.yaml").read_text(encoding="utf-8")
        return _checked(parse_yaml(text, origin=spec), origin=spec, name=spec)
    if spec.lower().endswith(_FILE_ENDINGS):
        return _checked(read_yaml(spec), origin=spec, name=Path(spec).stem)
    if is_factory_name(spec):
        return {"name": spec, "factory": spec}
    raise ConfigError(
        f"network {spec!r} is unknown{suggest(spec, BUILT_IN)}; give a built-in one ({', '.join(BUILT_IN)}),"
        " the path of a .yaml file of layers, or package.module:function"
    )


def build_network(
    spec: str | Mapping[str, Any], *, input_shape: tuple[int, ...], classes: int, allow_code: bool
) -> nn.Module:
    """The network with its parameters newly initialized from torch's global generator, which the caller seeds.

    Args:
        spec: As for `describe_network`.
        input_shape: Channels, height, width of the images, or how many numbers a vector has.
        classes: Number of classes, or 1 to predict a number: the network must turn float32 (N, C, H, W) or (N, numbers) into (N, classes).
        allow_code: Whether user code may be imported.

    Returns:
        The network in training mode, in float32 on the CPU, all of its parameters made.

    Raises:
        ConfigError: if the description breaks a rule, a layer doesn't fit, the output's shape is wrong, or the network
            is user code and that isn't allowed.

    Example:
        >>> network = build_network("lenet", input_shape=(1, 28, 28), classes=10, allow_code=False)
        >>> sum(parameter.numel() for parameter in network.parameters())
        431080
    """
    document = describe_network(spec)
    name = document["name"]
    if "factory" in document:
        if not allow_code:
            raise ConfigError(
                f"network {document['factory']!r} is user code, which is not imported unless it is allowed:"
                " pass allow_code=True (--allow-code) if you trust it"
            )
        network = build_from_code(document["factory"], input_shape=input_shape, classes=classes)
        _check_output(_run(network, _images(input_shape), where=name), classes=classes, name=name)
        return network.train()
    return _build_layers(document, input_shape=input_shape, classes=classes)


def _checked(document: Any, *, origin: str, name: str) -> dict[str, Any]:
    check_document(document, origin=origin)
    return {"name": name, **copy.deepcopy(dict(document))}


def _build_layers(document: Mapping[str, Any], *, input_shape: tuple[int, ...], classes: int) -> nn.Sequential:
    network = build_layers(document["layers"], classes=classes)
    values: Any = _images(input_shape)
    network.eval()
    for number, (entry, layer) in enumerate(zip(document["layers"], network, strict=True), 1):
        values = _run(layer, values, where=f"layer {number} ({split_entry(entry)[0]})")
    _check_output(values, classes=classes, name=document["name"])
    return network.train()


def _images(input_shape: tuple[int, ...]) -> torch.Tensor:
    return torch.zeros(2, *input_shape)


def _run(module: nn.Module, values: torch.Tensor, *, where: str) -> torch.Tensor:
    """Runs ``module`` without gradients, dropout or batch statistics, which also makes its lazy parameters."""
    module.eval()
    shape = tuple(values.shape[1:])
    try:
        with torch.no_grad():
            result = module(values)
    except Exception as error:
        raise ConfigError(f"{where} can't take an input of shape {shape} (without the batch): {error}") from error
    if not isinstance(result, torch.Tensor):
        raise ConfigError(f"{where} returns {type(result).__name__}; it must take and return one tensor")
    return result


def _check_output(output: torch.Tensor, *, classes: int, name: str) -> None:
    if tuple(output.shape) != (2, classes):
        raise ConfigError(
            f"network {name} turns 2 images into an output of shape {tuple(output.shape)}; it must be (2, {classes}),"
            " one value for each class: end with a layer such as 'Linear: {out_features: classes}', after 'Flatten'"
        )
