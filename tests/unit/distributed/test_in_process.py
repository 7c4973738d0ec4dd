"""Collectives between threads."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from sparkweave.distributed.in_process import InProcessCollective, run_gang
from sparkweave.errors import CollectiveError


def test_results_come_by_rank() -> None:
    assert run_gang(3, lambda collective: (collective.rank, collective.world_size)) == [(0, 3), (1, 3), (2, 3)]


def test_a_silent_peer_is_noticed() -> None:
    released = threading.Event()

    def work(collective: InProcessCollective) -> None:
        if collective.rank == 1:
            released.wait(10)
            return
        try:
            collective.all_reduce(torch.ones(1))
        finally:
            released.set()

    with pytest.raises(CollectiveError, match="rank 0 of 2 lost a peer"):
        run_gang(2, work, timeout_seconds=0.2)


def test_the_cause_is_raised_and_not_what_it_did_to_others() -> None:
    def work(collective: InProcessCollective) -> None:
        if collective.rank == 2:
            raise ArithmeticError("made on purpose")
        collective.all_reduce(torch.ones(1))

    began = time.monotonic()
    with pytest.raises(ArithmeticError, match="on purpose"):
        run_gang(3, work)
    assert time.monotonic() - began < 10


def test_no_thread_is_left() -> None:
    run_gang(4, lambda collective: collective.all_reduce(torch.ones(1)))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rank")]
