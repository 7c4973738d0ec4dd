"""Joining a gang of workers, by whichever way its tensors are to go."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from sparkweave.distributed.exchange import Exchange
from sparkweave.distributed.network import Network

if TYPE_CHECKING:
    import torch

    from sparkweave.distributed.collective import Collective


def joined(
    exchange: Exchange,
    *,
    network: Network,
    rank: int,
    world_size: int,
    device: torch.device,
    timeout_seconds: float,
    towards: str,
) -> contextlib.AbstractContextManager[Collective]:
    """The collective of ``network``'s transport, while the context lasts.

    Args:
        exchange: Carries the rendezvous, or everything.
        network: See `Network`.
        rank: This worker, from 0.
        world_size: How many workers there are.
        device: Where the tensors are.
        timeout_seconds: How long an operation waits for a silent peer.
        towards: The driver's host, see `sparkweave.distributed.interface.choose_interface`.

    Raises:
        ResourceError: if what ``network`` asks for can't be had on this host.
        CollectiveError: if the workers can't reach each other.
    """
    if network.transport == "spark":
        from sparkweave.distributed.exchange_collective import exchange_collective

        return exchange_collective(exchange, rank=rank, world_size=world_size, timeout_seconds=timeout_seconds)
    from sparkweave.distributed.torch_collective import torch_collective

    return torch_collective(
        exchange,
        rank=rank,
        world_size=world_size,
        device=device,
        timeout_seconds=timeout_seconds,
        towards=towards,
        network=network,
    )
