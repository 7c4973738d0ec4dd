"""The optimizer of a run: any of `torch.optim` by name, fused into one kernel where torch has that."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from sparkweave.errors import ConfigError

# Asks for a closure, or for sparse gradients: neither is what the loop gives.
_UNSUITABLE = {"Optimizer", "LBFGS", "SparseAdam"}
_CLASSES = {
    name.lower(): value
    for name, value in vars(torch.optim).items()
    if inspect.isclass(value) and issubclass(value, torch.optim.Optimizer) and name not in _UNSUITABLE
}


def optimizer_class(name: str) -> type[torch.optim.Optimizer]:
    """The class of `torch.optim` with this name, in any case.

    Raises:
        ConfigError: if there is none.
    """
    try:
        return _CLASSES[name.lower()]
    except KeyError:
        close = difflib.get_close_matches(name.lower(), _CLASSES, n=3) or sorted(_CLASSES)
        raise ConfigError(
            f"optimizer is {name!r}; torch.optim has no such class. Choose from {', '.join(close)}"
        ) from None


def make_optimizer(
    network: nn.Module, name: str, learning_rate: float, options: Mapping[str, Any]
) -> torch.optim.Optimizer:
    """The optimizer of ``network``'s trainable parameters.

    Args:
        network: On its device already.
        name: See `optimizer_class`.
        learning_rate: The peak of the schedule.
        options: Further arguments of the class; ``fused`` is chosen here unless it is among them.

    Raises:
        ConfigError: if the class refuses an option.
    """
    make: Any = optimizer_class(name)
    accepted = inspect.signature(make).parameters
    for option in options:
        if option not in accepted or option in ("params", "lr"):
            names = sorted(set(accepted) - {"params", "lr"})
            raise ConfigError(f"optimizer {name!r} has no option {option!r}; it has {', '.join(names)}")
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not parameters:
        raise ConfigError("the network has no trainable parameters; nothing can be trained")
    fused = {"fused": True} if "fused" in accepted and "fused" not in options else {}
    try:
        return make(parameters, lr=learning_rate, **options, **fused)  # type: ignore[no-any-return]
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(f"optimizer {name!r} refuses its options {dict(options)}: {error}") from error


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Loads a ``state_dict``, each tensor laid out in memory as its parameter is: fused kernels go by addresses."""
    optimizer.load_state_dict(dict(state))
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
