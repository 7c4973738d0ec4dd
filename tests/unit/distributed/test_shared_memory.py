"""Buffers that workers of one machine share."""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from pathlib import Path
from unittest import mock

import torch
from tests.unit.gangs import run_processes

from sparkweave.distributed import shared_memory as module
from sparkweave.distributed.shared_memory import SharedMemory
from sparkweave.distributed.torch_collective import TorchCollective
from sparkweave.errors import CollectiveError

CPU = torch.device("cpu")
SIZE = 100_000


def shares(collective: TorchCollective) -> list[bool]:
    sizes = (SIZE, 1)
    return [collective._shared.holds(collective.empty(size, torch.float32, CPU)) for size in sizes]


def shares_apart(collective: TorchCollective) -> tuple[bool, float]:
    with mock.patch.object(module, "this_place", return_value=collective.rank + 1):
        buffer = collective.empty(SIZE, torch.float32, CPU)
    buffer.fill_(1)
    collective.all_reduce(buffer)
    return collective._shared.holds(buffer), buffer.mean().item()


def shares_without_proc(collective: TorchCollective) -> bool:
    opener = mock.patch.object(os, "open", refuse) if collective.rank == 1 else contextlib.nullcontext()
    with opener:
        return collective._shared.holds(collective.empty(SIZE, torch.float32, CPU))


def refuse(*_: object) -> int:
    raise PermissionError("not here")


def leaves(collective: TorchCollective) -> tuple[int, bool]:
    collective.empty(SIZE, torch.float32, CPU)  # the workers meet at the first one, and stay connected
    before = len(os.listdir("/proc/self/fd"))
    buffer = collective.empty(SIZE, torch.float32, CPU)
    gone = weakref.ref(buffer)
    del buffer
    maps = Path("/proc/self/maps").read_text()
    return len(os.listdir("/proc/self/fd")) - before, gone() is None and "memfd:sparkweave" not in maps


def stay_silent(collective: TorchCollective) -> None:
    buffer = collective.empty(SIZE, torch.float32, CPU)
    if collective.rank == 0:
        collective.all_reduce(buffer)
    time.sleep(1.0)


def reduce_unless_failing(collective: TorchCollective) -> None:
    buffer = collective.empty(SIZE, torch.float32, CPU)
    if collective.rank == 0:
        raise ArithmeticError("made on purpose")
    collective.all_reduce(buffer)


def test_large_buffers_are_shared_by_the_workers_of_one_machine() -> None:
    assert run_processes(2, shares) == [[True, False]] * 2


def test_workers_of_different_machines_do_without() -> None:
    assert run_processes(2, shares_apart) == [(False, 2.0)] * 2


def test_where_one_can_not_open_the_memory_all_do_without() -> None:
    assert run_processes(2, shares_without_proc) == [False, False]


def test_a_buffer_that_is_not_used_any_more_leaves_nothing() -> None:
    assert run_processes(2, leaves) == [(0, True)] * 2


def test_a_peer_that_is_gone_is_noticed() -> None:
    failed, victim = run_processes(2, reduce_unless_failing)
    assert isinstance(failed, ArithmeticError)
    assert isinstance(victim, CollectiveError)
    assert "rank 1 lost the connection to a peer" in str(victim)


def test_a_silent_peer_is_named() -> None:
    victim, _ = run_processes(2, stay_silent, timeout_seconds=0.3)
    assert isinstance(victim, CollectiveError)
    assert "rank 0 waited 0.3 s for a peer that stayed silent (timed out waiting for rank 1)" in str(victim)


def test_other_tensors_are_not_taken_for_shared_ones() -> None:
    assert not SharedMemory(0, 2, 1.0).holds(torch.empty(SIZE))
