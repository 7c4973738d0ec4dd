"""Many tensors in one buffer, so that a collective operation is one call without copies.

Tensors are moved once: each becomes a view of its stretch of the buffer, with the strides it had (channels_last stays
channels_last). Copying in and out at every round instead (``parameters_to_vector``) costs several passes over the memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch

Allocate = Callable[[int, torch.dtype, torch.device], torch.Tensor]
"""Makes an uninitialized flat buffer: `Collective.empty` for what it sums, `plain` for all else."""


def plain(size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A buffer in this process's own memory."""
    return torch.empty(size, dtype=dtype, device=device)


@dataclasses.dataclass(frozen=True)
class FlatTensors:
    """Views of tensors' shapes and strides into a few flat buffers, one for each dtype and device."""

    views: list[torch.Tensor]
    buffers: list[torch.Tensor]


def flatten_like(tensors: Sequence[torch.Tensor], allocate: Allocate) -> FlatTensors:
    """Uninitialized views shaped and laid out like ``tensors``, which must be dense."""
    sizes: dict[tuple[torch.dtype, torch.device], int] = {}
    for tensor in tensors:
        key = (tensor.dtype, tensor.device)
        sizes[key] = sizes.get(key, 0) + tensor.numel()
    buffers = {key: allocate(size, *key) for key, size in sizes.items()}
    offsets = dict.fromkeys(sizes, 0)
    views = []
    for tensor in tensors:
        key = (tensor.dtype, tensor.device)
        views.append(buffers[key].as_strided(tensor.shape, _dense_strides(tensor), offsets[key]))
        offsets[key] += tensor.numel()
    return FlatTensors(views, list(buffers.values()))


@torch.no_grad()
def flatten(tensors: Sequence[torch.Tensor], allocate: Allocate) -> FlatTensors:
    """Moves ``tensors``, which must be dense, into flat buffers; each becomes a view of its stretch."""
    flat = flatten_like(tensors, allocate)
    for tensor, view in zip(tensors, flat.views, strict=True):
        view.copy_(tensor)
        tensor.data = view
    return flat


def _dense_strides(tensor: torch.Tensor) -> tuple[int, ...]:
    return torch.empty_like(tensor, memory_format=torch.preserve_format).stride()
