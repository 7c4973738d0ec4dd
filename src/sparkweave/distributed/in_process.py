"""Collectives between threads of one process: the trivial reference, for tests and simulations."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

from sparkweave.distributed.collective import sum_in_order
from sparkweave.errors import CollectiveError

T = TypeVar("T")
P = TypeVar("P")


class _Meeting:
    """Where the ranks leave a tensor for each other."""

    def __init__(self, world_size: int, timeout_seconds: float) -> None:
        self.barrier = threading.Barrier(world_size, timeout=timeout_seconds)
        self.slots: list[Any] = [None] * world_size


class InProcessCollective:
    """One rank of a gang of threads; sums in the order of the ranks. See `run_gang`."""

    def __init__(self, rank: int, world_size: int, meeting: _Meeting) -> None:
        self.rank = rank
        self.world_size = world_size
        self.bytes_sent = 0
        self.bytes_received = 0
        self.seconds = 0.0
        self._meeting = meeting

    def empty(self, size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """See `Collective.empty`."""
        return torch.empty(size, dtype=dtype, device=device)

    def all_reduce(self, tensor: torch.Tensor) -> None:
        """See `Collective.all_reduce`."""
        tensor.copy_(sum_in_order(self.all_gather(tensor)))

    def all_gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """See `Collective.all_gather`."""
        return self._gather(tensor.detach().clone(), tensor.nbytes, lambda part: part.nbytes)

    def all_gather_bytes(self, frame: bytes) -> list[bytes]:
        """See `Collective.all_gather_bytes`."""
        return self._gather(frame, len(frame), len)

    def _gather(self, part: P, size: int, size_of: Callable[[P], int]) -> list[P]:
        began = time.perf_counter()
        self._meeting.slots[self.rank] = part
        self._wait()
        parts: list[P] = list(self._meeting.slots)
        self._wait()
        self.bytes_sent += size * (self.world_size - 1)
        self.bytes_received += sum(map(size_of, parts)) - size
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
