"""Tensors and the plain values around them as bytes, in the safetensors form: nothing in it can run code.

A nested state (an optimizer's ``state_dict``) becomes its tensors, numbered, and a JSON outline kept in the header. In
it ``{"tensor": 3}`` stands for the fourth tensor, ``{"dict": [[key, value], ...]}`` for a mapping (JSON's own would
turn integer keys into text) and ``{"tuple": [...]}`` for a tuple.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from sparkweave.errors import ArtifactError

_OUTLINE = "outline"


def pack_tensors(tensors: Mapping[str, torch.Tensor | np.ndarray[Any, Any]]) -> bytes:
    """Named tensors in their shapes and types; each loads contiguous, on the CPU, with memory of its own."""
    return safetensors.torch.save({name: _own_memory(tensor) for name, tensor in tensors.items()})


def unpack_tensors(content: bytes) -> dict[str, torch.Tensor]:
    """The inverse of `pack_tensors`.

    Raises:
        ArtifactError: if ``content`` is not in the safetensors form.
    """
    try:
        return safetensors.torch.load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ArtifactError(f"these are no tensors in the safetensors form ({error}); save again") from error


def pack_state(state: Any) -> bytes:
    """A nesting of dicts (keys: text or integers), lists, tuples, tensors, arrays and JSON's plain values.

    Arrays come back as tensors.

    Raises:
        ArtifactError: if it holds anything else.
    """
    tensors: list[torch.Tensor] = []
    outline = json.dumps(_outline(state, tensors))
    return safetensors.torch.save({str(index): tensor for index, tensor in enumerate(tensors)}, {_OUTLINE: outline})


def unpack_state(content: bytes) -> Any:
    """The inverse of `pack_state`.

    Raises:
        ArtifactError: if ``content`` is not what `pack_state` returns.
    """
    tensors = unpack_tensors(content)
    try:
        return _rebuilt(json.loads(_metadata(content)[_OUTLINE]), tensors)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError("its outline does not fit its tensors; save again") from error


def _own_memory(tensor: torch.Tensor | np.ndarray[Any, Any]) -> torch.Tensor:
    # Views of one flat buffer, tied weights and channels_last ones are all refused by safetensors.
    return torch.as_tensor(tensor).detach().cpu().clone(memory_format=torch.contiguous_format)


def _outline(value: Any, tensors: list[torch.Tensor]) -> Any:
    match value:
        case torch.Tensor() | np.ndarray():
            tensors.append(_own_memory(value))
            return {"tensor": len(tensors) - 1}
        case None | bool() | int() | float() | str():
            return value
        case list():
            return [_outline(item, tensors) for item in value]
        case tuple():
            return {"tuple": [_outline(item, tensors) for item in value]}
        case Mapping() if all(type(key) in (str, int) for key in value):
            return {"dict": [[key, _outline(item, tensors)] for key, item in value.items()]}
    raise ArtifactError(
        f"a value of type {type(value).__name__} can't be saved; a state holds tensors, numbers, text,"
        " lists, tuples, and dicts with text or integers as keys"
    )


def _rebuilt(outline: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(outline, list):
        return [_rebuilt(item, tensors) for item in outline]
    if not isinstance(outline, dict):
        return outline
    ((form, value),) = outline.items()
    if form == "tensor":
        return tensors[str(value)]
    if form == "tuple":
        return tuple(_rebuilt(item, tensors) for item in value)
    if form == "dict":
        return {key: _rebuilt(item, tensors) for key, item in value}
    raise KeyError(form)


def _metadata(content: bytes) -> dict[str, str]:
    length = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return metadata
