"""The mean of a tensor over workers, weighted by the examples that each has seen."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sparkweave.distributed.collective import Collective


@torch.no_grad()
def average(tensors: Sequence[torch.Tensor], examples: int, total: int, collective: Collective) -> None:
    """Replaces each of ``tensors`` by its mean over all workers, weighted by ``examples`` of ``total``.

    Raises:
        CollectiveError: if a peer is silent or gone.
    """
    for tensor in tensors:
        if examples:
            tensor.mul_(examples / total)
        else:
            tensor.zero_()  # a product with 0 would keep a NaN
        collective.all_reduce(tensor)


@torch.no_grad()
def agree(counters: Sequence[torch.Tensor], collective: Collective) -> None:
    """Replaces each of the integer ``counters`` by its largest value on any worker: one without examples counts less.

    Raises:
        CollectiveError: if a peer is silent or gone.
    """
    if not counters:
        return
    values = torch.cat([counter.to(torch.int64).flatten() for counter in counters])
    sizes = [counter.numel() for counter in counters]
    largest = torch.stack(collective.all_gather(values)).amax(dim=0)
    for counter, value in zip(counters, torch.split(largest, sizes), strict=True):
        counter.copy_(value.view_as(counter))
