"""One layer of a network file: a `torch.nn` class found by its name, built with checked arguments."""

from __future__ import annotations

import difflib
import functools
import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from sparkweave.errors import ConfigError

# Modules of torch.nn whose classes can't stand in a chain of layers that each take and return one tensor.
_NOT_LAYERS = {"container", "loss", "module", "rnn", "adaptive", "distance"}
_PLACEMENT = {"device", "dtype"}


@functools.cache
def layer_classes() -> Mapping[str, type[nn.Module]]:
    """All layers of `torch.nn` that a network file can name."""
    return {
        name: value
        for name, value in vars(nn).items()
        if isinstance(value, type)
        and issubclass(value, nn.Module)
        and value.__module__.startswith("torch.nn.modules.")
        and value.__module__.rpartition(".")[2] not in _NOT_LAYERS
    }


def make_layer(name: str, arguments: Mapping[str, Any], *, where: str) -> nn.Module:
    """The layer ``torch.nn.<name>(**arguments)``, or its lazy twin where the input's size is left out.

    Args:
        name: A class of `layer_classes`; `Conv2d` becomes `LazyConv2d` unless ``in_channels`` is given.
        arguments: Plain data; lists become tuples.
        where: What to call this layer in errors.

    Raises:
        ConfigError: if the name or an argument is unknown, one is missing, or torch refuses a value.
    """
    classes = layer_classes()
    if name not in classes:
        hint = suggest(name, [*classes, "Residual"])
        raise ConfigError(
            f"{where}: torch.nn has no layer {name!r}{hint}; names are those of https://pytorch.org/docs/stable/nn.html"
        )
    allowed = allowed_arguments(classes[name])
    for argument in arguments:
        if argument not in allowed:
            raise ConfigError(
                f"{where}: {name} has no argument {argument!r}{suggest(argument, allowed)};"
                f" it takes {', '.join(allowed) or 'none'}"
            )
    chosen = _lazy_unless_sized(name, arguments)
    values = {key: _value(value, where=f"{where}, {key}") for key, value in arguments.items()}
    try:
        return chosen(**values)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in values.items())
        raise ConfigError(f"{where}: torch refuses {name}({given}): {error}") from error


def allowed_arguments(layer: type[nn.Module]) -> tuple[str, ...]:
    """The arguments of ``layer`` that a network file can set, in torch's order."""
    parameters = inspect.signature(layer).parameters.values()
    return tuple(
        p.name for p in parameters if p.name not in _PLACEMENT and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    )


def suggest(name: str, choices: Iterable[str]) -> str:
    """A hint such as `` (did you mean 'Conv2d'?)``, or nothing where no choice is near."""
    by_lower = {choice.lower(): choice for choice in choices}
    near = [by_lower[match] for match in difflib.get_close_matches(name.lower(), by_lower, n=3)]
    return f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""


def _lazy_unless_sized(name: str, arguments: Mapping[str, Any]) -> type[nn.Module]:
    plain, lazy = layer_classes()[name], layer_classes().get(f"Lazy{name}")
    if lazy is None:
        return plain
    inferred = set(allowed_arguments(plain)) - set(allowed_arguments(lazy))
    return plain if inferred & set(arguments) else lazy


def _value(value: Any, *, where: str) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_value(item, where=where) for item in value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where} is {value!r}; numbers must be finite")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ConfigError(f"{where} is {value!r}; it must be a number, text, true, false, null or a list of these")
