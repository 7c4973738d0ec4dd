"""Means over workers, sent in two bytes a number.

Rounded parameters would lose what a small learning rate does to them: bfloat16 has 8 bits. So what changed since the last mean is
sent, and added to that mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sparkweave.distributed.collective import Collective
from sparkweave.strategies.flat import FlatTensors, flatten_like


class LowPrecisionMean:
    """Replaces tensors by their mean again and again; they are the same on all workers when this is made."""

    def __init__(self, tensors: Sequence[torch.Tensor], collective: Collective) -> None:
        self._collective = collective
        self._last = {id(tensor): tensor.detach().clone() for tensor in tensors}
        self._sent = FlatTensors([], [])

    @torch.no_grad()
    def average(self, tensors: Sequence[torch.Tensor], examples: int, total: int) -> None:
        """Of all workers, weighted by ``examples`` of ``total``; a tensor that is new began as zero.

        Raises:
            CollectiveError: if a peer is silent or gone.
        """
        if len(tensors) != len(self._sent.views):
            halves = [torch.empty_like(tensor, dtype=torch.bfloat16) for tensor in tensors]
            self._sent = flatten_like(halves, self._collective.empty)
        last = [self._last.setdefault(id(tensor), torch.zeros_like(tensor)) for tensor in tensors]
        for tensor, before, view in zip(tensors, last, self._sent.views, strict=True):
            if examples:
                view.copy_((tensor - before).mul_(examples / total))
            else:
                view.zero_()  # a product with 0 would keep a NaN
        for buffer in self._sent.buffers:
            self._collective.all_reduce(buffer)
        for tensor, before, view in zip(tensors, last, self._sent.views, strict=True):
            tensor.copy_(before.add_(view))

    @torch.no_grad()
    def keep(self, tensors: Sequence[torch.Tensor]) -> None:
        """Takes ``tensors`` for the last mean, whatever it was."""
        for tensor in tensors:
            self._last[id(tensor)].copy_(tensor)
