"""Networks from users' own code, named ``package.module:function``."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

from torch import nn

from sparkweave.errors import ConfigError

_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def is_factory_name(text: str) -> bool:
    """Whether ``text`` has the form ``package.module:function``; nothing is imported."""
    return _FACTORY.fullmatch(text) is not None


def build_from_code(factory: str, *, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """The network that ``factory`` returns.

    Args:
        factory: ``package.module:function``, or a class instead of the function. It is called with those of
            ``input_shape`` and ``classes`` that it takes.
        input_shape: Channels, height, width, or how many numbers a vector has.
        classes: Number of classes.

    Raises:
        ConfigError: if it can't be imported, needs other arguments, fails, or returns something else.
    """
    function = _imported(factory)
    arguments = _accepted(function, {"input_shape": input_shape, "classes": classes}, factory=factory)
    try:
        network = function(**arguments)
    except Exception as error:
        raise ConfigError(f"network {factory!r} failed with {type(error).__name__}: {error}") from error
    if not isinstance(network, nn.Module):
        raise ConfigError(f"network {factory!r} returned {type(network).__name__}; it must return a torch.nn.Module")
    return network


def _imported(factory: str) -> Callable[..., Any]:
    if not is_factory_name(factory):
        raise ConfigError(f"network {factory!r} is not of the form 'package.module:function'")
    module_name, _, path = factory.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"network {factory!r}: there is no module {error.name!r} on this machine's Python path;"
            " install it, or ship it with --py-files"
        ) from error
    except Exception as error:
        raise ConfigError(
            f"network {factory!r}: importing {module_name} failed with {type(error).__name__}: {error}"
        ) from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise ConfigError(f"network {factory!r}: {module_name} has no {path!r}")
        found = getattr(found, name)
    if not callable(found):
        raise ConfigError(f"network {factory!r} is {type(found).__name__}, not a function or class to call")
    function: Callable[..., Any] = found
    return function


def _accepted(function: Callable[..., Any], offered: dict[str, Any], *, factory: str) -> dict[str, Any]:
    """Those of ``offered`` that ``function`` takes."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return offered
    taken = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    plain = (p for p in parameters if p.kind is not p.VAR_POSITIONAL and p.default is p.empty)
    missing = [p.name for p in plain if p.name not in offered or p.kind is p.POSITIONAL_ONLY]
    if missing:
        raise ConfigError(
            f"network {factory!r} needs {', '.join(missing)}; it may take input_shape and classes as keywords,"
            " everything else needs a default"
        )
    return {name: value for name, value in offered.items() if name in taken}
