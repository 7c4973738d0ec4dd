"""An all-gather of strings between threads, and gangs that talk through it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sparkweave.distributed.exchange import Exchange
from sparkweave.distributed.exchange_collective import ExchangeCollective, exchange_collective
from sparkweave.errors import CollectiveError

T = TypeVar("T")


class Meeting:
    """An all-gather of strings between threads, that counts its calls."""

    def __init__(self, world_size: int) -> None:
        self.calls = 0
        self._barrier = threading.Barrier(world_size, timeout=20)
        self._texts = [""] * world_size

    def of(self, rank: int) -> Exchange:
        def exchange(text: str) -> list[str]:
            self.calls += 1
            self._texts[rank] = text
            self._barrier.wait()
            texts = list(self._texts)
            self._barrier.wait()
            return texts

        return exchange

    def abort(self) -> None:
        """Fails every exchange from now on."""
        self._barrier.abort()


def in_threads(world_size: int, work: Callable[[int, Exchange], T]) -> list[T | Exception]:
    """``work`` once a rank: what it returned or raised, by rank. The first to raise ends the exchanges of the others."""
    meeting = Meeting(world_size)

    def run(rank: int) -> T | Exception:
        try:
            return work(rank, meeting.of(rank))
        except Exception as error:  # noqa: BLE001 - whatever a test provokes
            meeting.abort()
            return error

    with ThreadPoolExecutor(world_size) as pool:
        return list(pool.map(run, range(world_size)))


def run_exchange_gang(
    world_size: int, work: Callable[[ExchangeCollective], T], timeout_seconds: float = 20.0
) -> list[T]:
    """``work`` once a rank, over `ExchangeCollective`; raises what was raised first-hand."""

    def joined(rank: int, exchange: Exchange) -> T:
        with exchange_collective(
            exchange, rank=rank, world_size=world_size, timeout_seconds=timeout_seconds
        ) as collective:
            return work(collective)

    outcomes = in_threads(world_size, joined)
    failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    for failure in sorted(failures, key=lambda failure: isinstance(failure, CollectiveError)):
        raise failure
    return [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
