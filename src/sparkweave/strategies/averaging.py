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
