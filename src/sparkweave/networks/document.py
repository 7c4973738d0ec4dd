"""The document that stands for a network: what a network file holds and what a saved model keeps of it.

::

    name: small                       # optional; the file's name otherwise
    layers:
      - Conv2d: {out_channels: 32, kernel_size: 3, padding: 1, bias: false}
      - BatchNorm2d
      - ReLU
      - Residual:
          body:
            - Conv2d: {out_channels: 32, kernel_size: 3, padding: 1}
            - ReLU
          shortcut:                   # optional; the input itself otherwise
            - Conv2d: {out_channels: 32, kernel_size: 1}
      - AdaptiveAvgPool2d: {output_size: 1}
      - Flatten
      - Linear: {out_features: classes}

A layer is a name of `torch.nn`, or a name with arguments. What a layer takes in is inferred where torch has a lazy
twin. The word ``classes`` stands for the number of classes. A document with ``factory: module:function`` instead of
``layers`` stands for user code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from sparkweave.errors import ConfigError
from sparkweave.networks.layers import make_layer, suggest
from sparkweave.networks.residual import Residual

MAX_LAYERS = 2_000
MAX_DEPTH = 20
_KEYS = ("name", "layers", "factory")
_RESIDUAL_KEYS = ("body", "shortcut")


def check_document(document: object, *, origin: str) -> None:
    """Checks the frame of a document; its layers are checked as they are built.

    Raises:
        ConfigError: if it is not a mapping with a ``layers`` list or a ``factory`` text, or has other keys.
    """
    if not isinstance(document, Mapping):
        raise ConfigError(f"{origin} must be a mapping with a list of 'layers', not {_kind(document)}")
    for key in document:
        if key not in _KEYS:
            raise ConfigError(
                f"{origin} has the unknown key {key!r}{suggest(str(key), _KEYS)}; it takes {', '.join(_KEYS)}"
            )
    if not isinstance(document.get("name", ""), str):
        raise ConfigError(f"{origin}: name is {document['name']!r}; it must be text")
    if ("layers" in document) == ("factory" in document):
        raise ConfigError(f"{origin} must have 'layers' or 'factory', one of them")
    if not isinstance(document.get("factory", ""), str):
        raise ConfigError(
            f"{origin}: factory is {document['factory']!r}; it must be text like 'package.module:function'"
        )
    if "layers" in document:
        _check_layers(document["layers"], where=f"{origin}, layers", depth=0, count=iter(range(MAX_LAYERS)))


def build_layers(layers: Sequence[Any], *, classes: int, where: str = "layer") -> nn.Sequential:
    """The chain of layers that ``layers``, the checked list of a document, asks for.

    Args:
        layers: Names, or mappings of one name to its arguments.
        classes: What the word ``classes`` stands for.
        where: What to call a layer in errors, before its number.

    Raises:
        ConfigError: naming the layer that breaks a rule.
    """
    return nn.Sequential(*(_build(entry, classes=classes, where=f"{where} {n}") for n, entry in enumerate(layers, 1)))


def split_entry(entry: Any) -> tuple[str, Mapping[str, Any]]:
    """The name and the arguments of one checked entry of a list of layers."""
    if isinstance(entry, str):
        return entry, {}
    name, arguments = next(iter(entry.items()))
    return name, arguments or {}


def _build(entry: Any, *, classes: int, where: str) -> nn.Module:
    name, arguments = split_entry(entry)
    where = f"{where} ({name})"
    if name != "Residual":
        values = {key: classes if value == "classes" else value for key, value in arguments.items()}
        return make_layer(name, values, where=where)
    paths = {key: build_layers(arguments[key], classes=classes, where=f"{where}, {key} layer") for key in arguments}
    return Residual(**paths)


def _check_layers(layers: object, *, where: str, depth: int, count: Iterator[int]) -> None:
    """Also bounds the work that a document with YAML aliases can ask for, before any layer is built."""
    if not isinstance(layers, list) or not layers:
        raise ConfigError(f"{where} must be a list with at least one layer, not {_kind(layers)}")
    if depth > MAX_DEPTH:
        raise ConfigError(f"{where} is nested deeper than {MAX_DEPTH} levels")
    for number, entry in enumerate(layers, 1):
        if next(count, None) is None:
            raise ConfigError(
                f"{where}: there are more than {MAX_LAYERS:,} layers; use 'factory' for so large a network"
            )
        _check_entry(entry, where=f"{where}, entry {number}", depth=depth, count=count)


def _check_entry(entry: object, *, where: str, depth: int, count: Iterator[int]) -> None:
    if isinstance(entry, str):
        entry = {entry: None}
    if not isinstance(entry, Mapping) or len(entry) != 1 or not isinstance(next(iter(entry)), str):
        raise ConfigError(f"{where} must be a layer's name, or one name with its arguments, not {_kind(entry)}")
    name, arguments = next(iter(entry.items()))
    if not isinstance(arguments, Mapping | None) or not all(isinstance(key, str) for key in arguments or {}):
        raise ConfigError(
            f"{where} ({name}): arguments must be a mapping such as {{kernel_size: 3}}, not {_kind(arguments)}"
        )
    if name == "Residual":
        _check_residual(arguments or {}, where=f"{where} (Residual)", depth=depth, count=count)


def _check_residual(paths: Mapping[str, Any], *, where: str, depth: int, count: Iterator[int]) -> None:
    for key in paths:
        if key not in _RESIDUAL_KEYS:
            raise ConfigError(f"{where} has no argument {key!r}{suggest(key, _RESIDUAL_KEYS)}; it takes body, shortcut")
    if "body" not in paths:
        raise ConfigError(f"{where} needs a 'body', a list of layers")
    for key, layers in paths.items():
        _check_layers(layers, where=f"{where}, {key}", depth=depth + 1, count=count)
        name, arguments = split_entry(layers[0])
        if arguments.get("inplace"):
            # The other path would silently get the changed input.
            raise ConfigError(
                f"{where}, {key}: its first layer ({name}) can't be 'inplace', both paths start from one input"
            )


def _kind(value: object) -> str:
    names = {dict: "a mapping", list: "a list", str: "text", type(None): "nothing"}
    text = repr(value)
    return f"{names.get(type(value), type(value).__name__)}: {text[:60]}{'…' if len(text) > 60 else ''}"
