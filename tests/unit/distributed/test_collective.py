"""What every collective must keep."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.unit.distributed.exchanges import run_exchange_gang
from tests.unit.gangs import results, run_processes

from sparkweave.distributed.collective import Collective
from sparkweave.distributed.in_process import run_gang

Run = Callable[[int, Callable[[Collective], Any]], list[Any]]
GANGS = {
    "threads": run_gang,
    "processes": lambda size, work: results(run_processes(size, work)),
    "exchange": run_exchange_gang,
}
each_gang = pytest.mark.parametrize("run", GANGS.values(), ids=GANGS)


def reduced(collective: Collective) -> tuple[list[float], list[float]]:
    first = torch.tensor([1.0, 2.0]) * (collective.rank + 1)
    second = torch.tensor(0.5)
    collective.all_reduce(first)
    collective.all_reduce(second)
    return first.tolist(), [second.item()]


def gathered(collective: Collective) -> list[list[int]]:
    return [part.tolist() for part in collective.all_gather(torch.arange(2) + 10 * collective.rank)]


def noise(collective: Collective) -> list[float]:
    values = torch.randn(1001, generator=torch.Generator().manual_seed(collective.rank))
    collective.all_reduce(values)
    return values.tolist()


def of_types(collective: Collective) -> list[str]:
    tensors = [torch.ones(3, dtype=dtype) for dtype in (torch.float32, torch.float64, torch.int64)]
    for tensor in tensors:
        collective.all_reduce(tensor)
    return [str(tensor.tolist()) for tensor in tensors]


def in_order(collective: Collective, size: int) -> tuple[bool, bool]:
    """Whether the sums of a buffer and of another tensor are those of adding the ranks' values in their order."""
    values = torch.randn(size, generator=torch.Generator().manual_seed(collective.rank))
    expected = functools.reduce(torch.add, collective.all_gather(values))
    buffer = collective.empty(size, torch.float32, torch.device("cpu"))
    buffer.copy_(values)
    collective.all_reduce(buffer)
    collective.all_reduce(values)
    return torch.equal(buffer, expected), torch.equal(values, expected)


def counted(collective: Collective) -> tuple[int, int, bool]:
    collective.all_gather(torch.zeros(5, dtype=torch.float64))
    gathered = collective.bytes_sent
    collective.all_reduce(torch.zeros(5, dtype=torch.float64))
    return gathered, collective.bytes_sent, collective.seconds > 0


@each_gang
@pytest.mark.parametrize("size", [1, 2, 3])
def test_all_reduce_gives_every_rank_the_sum(run: Run, size: int) -> None:
    total = sum(range(1, size + 1))
    assert run(size, reduced) == [([total, 2 * total], [0.5 * size])] * size


@each_gang
def test_all_reduce_gives_every_rank_the_same_bits(run: Run) -> None:
    first, second, third = run(3, noise)
    assert first == second == third


@each_gang
@pytest.mark.parametrize("size", [5, 50_001])
@pytest.mark.parametrize("ranks", [2, 3])
def test_all_reduce_adds_in_the_order_of_the_ranks(run: Run, ranks: int, size: int) -> None:
    assert run(ranks, functools.partial(in_order, size=size)) == [(True, True)] * ranks


@each_gang
def test_all_gather_gives_every_ranks_tensor_by_rank(run: Run) -> None:
    assert run(3, gathered) == [[[0, 1], [10, 11], [20, 21]]] * 3


@each_gang
def test_types_are_kept(run: Run) -> None:
    assert run(2, of_types) == [["[2.0, 2.0, 2.0]", "[2.0, 2.0, 2.0]", "[2, 2, 2]"]] * 2


@each_gang
def test_bytes_and_time_are_counted(run: Run) -> None:
    for after_gather, after_reduce, has_time in run(2, counted):
        assert after_gather == 40
        assert after_reduce == 80
        assert has_time


@each_gang
def test_a_worker_alone_sends_nothing(run: Run) -> None:
    assert run(1, counted) == [(0, 0, True)]


def frames_of(collective: Collective) -> list[bool]:
    """Frames of lengths that differ from rank to rank, that grow at once and shrink slowly."""
    arrived = []
    for longest in (0, 1, 300, 70_000, 69_000, 5, 1000, 0):
        frames = [
            bytes([rank]) * (longest * (rank + 1) // collective.world_size) for rank in range(collective.world_size)
        ]
        arrived.append(collective.all_gather_bytes(frames[collective.rank]) == frames)
    return arrived


@each_gang
@pytest.mark.parametrize("size", [1, 2, 3])
def test_frames_of_any_length_reach_every_rank(run: Run, size: int) -> None:
    assert run(size, frames_of) == [[True] * 8] * size


def halves(collective: Collective) -> list[float]:
    tensor = torch.tensor([256.0 if collective.rank == 0 else 0.75], dtype=torch.bfloat16)
    collective.all_reduce(tensor)
    return tensor.tolist()


@each_gang
def test_two_byte_numbers_are_added_up_in_four(run: Run) -> None:
    # One by one each 0.75 would be lost beside 256, whose next number is 258.
    assert run(3, halves) == [[258.0]] * 3
