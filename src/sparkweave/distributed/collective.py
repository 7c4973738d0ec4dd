"""Collective operations on tensors: the contract that strategies are written against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


class Collective(Protocol):
    """A gang of workers that exchange tensors. Every rank makes the same calls in the same order.

    Attributes:
        rank: This worker, from 0.
        world_size: How many workers there are.
        bytes_sent: Bytes of tensors and frames this worker handed over so far.
        bytes_received: Bytes that it was handed.
        seconds: Time this worker spent in collective operations so far.
    """

    rank: int
    world_size: int
    bytes_sent: int
    bytes_received: int
    seconds: float

    def empty(self, size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """An uninitialized buffer of ``size`` elements, which `all_reduce` sums faster than others where it can."""

    def all_reduce(self, tensor: torch.Tensor) -> None:
        """Replaces ``tensor`` by the sum over all ranks, the same bits on each.

        On CPUs the ranks' tensors are added in their order, so that it makes no difference where the workers run.

        Raises:
            CollectiveError: if a peer is silent or gone.
        """

    def all_gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """Every rank's ``tensor`` (all of one shape and dtype), by rank.

        Raises:
            CollectiveError: if a peer is silent or gone.
        """

    def all_gather_bytes(self, frame: bytes) -> list[bytes]:
        """Every rank's ``frame``, of whatever length, by rank.

        Raises:
            CollectiveError: if a peer is silent or gone.
        """


def sum_in_order(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """The sum of tensors of one shape and dtype, added in this order; those of two bytes are added up in four."""
    first, *others = parts
    total = first.float() if first.dtype.itemsize == 2 and first.is_floating_point() else first.clone()
    for other in others:
        total += other
    return total.to(first.dtype)
