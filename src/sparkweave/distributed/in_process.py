"""Collectives between threads of one process: the trivial reference, for tests and simulations."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from sparkweave.errors import CollectiveError

T = TypeVar("T")


class _Meeting:
    """Where the ranks leave a tensor for each other."""

    def __init__(self, world_size: int, timeout_seconds: float) -> None:
        self.barrier = threading.Barrier(world_size, timeout=timeout_seconds)
        self.slots: list[torch.Tensor | None] = [None] * world_size


class InProcessCollective:
    """One rank of a gang of threads; sums in the order of the ranks. See `run_gang`."""

    def __init__(self, rank: int, world_size: int, meeting: _Meeting) -> None:
        self.rank = rank
        self.world_size = world_size
        self.bytes_sent = 0
        self.seconds = 0.0
        self._meeting = meeting

    def empty(self, size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """See `Collective.empty`."""
        return torch.empty(size, dtype=dtype, device=device)

    def all_reduce(self, tensor: torch.Tensor) -> None:
        """See `Collective.all_reduce`."""
        parts = self.all_gather(tensor)
        total = parts[0].clone()
        for part in parts[1:]:
            total += part
        tensor.copy_(total)

    def all_gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """See `Collective.all_gather`."""
        began = time.perf_counter()
        self._meeting.slots[self.rank] = tensor.detach().clone()
        self._wait()
        parts = [part for part in self._meeting.slots if part is not None]
        self._wait()
        self.bytes_sent += tensor.nbytes * (self.world_size - 1)
        self.seconds += time.perf_counter() - began
        return parts

    def abort(self) -> None:
        """Fails every operation of every rank from now on."""
        self._meeting.barrier.abort()

    def _wait(self) -> None:
        try:
            self._meeting.barrier.wait()
        except threading.BrokenBarrierError as error:
            raise CollectiveError(
                f"rank {self.rank} of {self.world_size} lost a peer: it failed or is silent"
            ) from error


def run_gang(world_size: int, work: Callable[[InProcessCollective], T], timeout_seconds: float = 60.0) -> list[T]:
    """Runs ``work`` once a rank, each in a thread, and returns the results by rank.

    Raises:
        Exception: what the first failing rank raised; the failures that it caused in others are its context.
    """
    meeting = _Meeting(world_size, timeout_seconds)

    def run(rank: int) -> T:
        collective = InProcessCollective(rank, world_size, meeting)
        try:
            return work(collective)
        except BaseException:
            collective.abort()
            raise

    with ThreadPoolExecutor(world_size, thread_name_prefix="rank") as pool:
        futures = [pool.submit(run, rank) for rank in range(world_size)]
    failures = [error for error in (future.exception() for future in futures) if error is not None]
    for error in sorted(failures, key=lambda error: isinstance(error, CollectiveError)):
        raise error
    return [future.result() for future in futures]
