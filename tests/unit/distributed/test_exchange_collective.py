"""Collectives through an all-gather of strings."""

from __future__ import annotations

import functools
import threading
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.distributed.exchanges import Meeting, in_threads, run_exchange_gang
from tests.unit.gangs import first_state, make_shards, make_task, train, train_rank

from sparkweave.distributed.exchange import Exchange
from sparkweave.distributed.exchange_collective import ExchangeCollective, exchange_collective
from sparkweave.errors import CollectiveError
from sparkweave.strategies import STRATEGIES


@given(frames=st.lists(st.binary(max_size=60), min_size=2, max_size=3), relayed=st.integers(1, 400))
def test_frames_of_any_length_come_whole_in_chunks_of_any_size(frames: list[bytes], relayed: int) -> None:
    def gather(rank: int, exchange: Exchange) -> list[bytes]:
        return ExchangeCollective(exchange, rank, len(frames), relayed_bytes=relayed).all_gather_bytes(frames[rank])

    assert in_threads(len(frames), gather) == [frames] * len(frames)


def test_a_message_of_usual_size_takes_one_exchange() -> None:
    meeting = Meeting(1)
    exchange = meeting.of(0)
    collective = ExchangeCollective(lambda text: exchange(text) * 2, 0, 2)
    collective.all_reduce(torch.zeros(1_300_000))
    assert meeting.calls == 1
    assert (collective.bytes_sent, collective.bytes_received) == (5_200_000, 5_200_000)


@pytest.mark.parametrize("world_size", [2, 4, 16, 64])
def test_what_the_driver_relays_is_bounded(world_size: int) -> None:
    texts: list[str] = []

    def exchange(text: str) -> list[str]:
        texts.append(text)
        return [text] * world_size

    ExchangeCollective(exchange, 0, world_size, relayed_bytes=1 << 20).all_gather_bytes(bytes(100_000))
    assert max(map(len, texts)) * world_size**2 <= (1 << 20) + 20 * world_size**2


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(0.5),
        torch.zeros(0),
        torch.arange(6, dtype=torch.int64).view(2, 3).t(),
        torch.arange(24.0).view(1, 2, 3, 4).to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        torch.ones(3, dtype=torch.bfloat16),
        torch.tensor([True, False]),
    ],
    ids=lambda tensor: f"{tensor.dtype}{list(tensor.shape)}",
)
def test_tensors_of_any_type_and_layout_are_gathered(tensor: torch.Tensor) -> None:
    def gather(collective: ExchangeCollective) -> bool:
        return all(torch.equal(part, tensor) for part in collective.all_gather(tensor))

    assert run_exchange_gang(2, gather) == [True, True]


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_ends_in_the_same_network_to_the_bit(name: str) -> None:
    task, shards = make_task(STRATEGIES[name](), (12, 10)), make_shards((12, 10))
    work: Any = functools.partial(train_rank, task=task, shards=shards, blobs=first_state(task).to_blobs())
    expected = [blobs for blobs, _ in train(task, shards)]
    assert [blobs for blobs, _ in run_exchange_gang(2, work)] == expected


def test_a_peer_that_fails_is_noticed() -> None:
    def fail_or_reduce(rank: int, exchange: Exchange) -> None:
        with exchange_collective(exchange, rank=rank, world_size=2, timeout_seconds=20) as collective:
            if rank == 0:
                raise ArithmeticError("made on purpose")
            collective.all_reduce(torch.ones(1))

    failed, victim = in_threads(2, fail_or_reduce)
    assert isinstance(failed, ArithmeticError)
    assert isinstance(victim, CollectiveError)
    assert str(victim).startswith("rank 1 lost the connection to its peers through Spark (BrokenBarrierError(")


def test_a_silent_peer_is_noticed_after_the_timeout() -> None:
    released = threading.Event()

    def sleep_or_reduce(rank: int, exchange: Exchange) -> None:
        with exchange_collective(exchange, rank=rank, world_size=2, timeout_seconds=0.2) as collective:
            if rank == 1:
                released.wait(20)
                return
            try:
                collective.all_reduce(torch.ones(1))
            finally:
                released.set()

    waiting, _ = in_threads(2, sleep_or_reduce)
    assert isinstance(waiting, CollectiveError)
    assert str(waiting).startswith("rank 0 waited 0.2 s for a peer that stayed silent; raise --collective-timeout")


def test_the_first_meeting_waits_for_as_long_as_it_takes() -> None:
    """A worker may read its shard for longer than a step may take."""
    calls: list[str] = []

    def exchange(text: str) -> list[str]:
        calls.append(threading.current_thread().name)
        return [text, text]

    with exchange_collective(exchange, rank=0, world_size=2, timeout_seconds=1):
        assert calls == [threading.current_thread().name]


def test_alone_nothing_is_exchanged() -> None:
    meeting = Meeting(1)
    with exchange_collective(meeting.of(0), rank=0, world_size=1, timeout_seconds=1) as collective:
        collective.all_reduce(torch.ones(3))
        assert collective.all_gather_bytes(b"x") == [b"x"]
    assert meeting.calls == 0
