"""A worker's own limit on its memory; met in a process of its own, started anew."""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Callable
from typing import Any

import pytest

from sparkweave.errors import ResourceError
from sparkweave.training.native_memory import memory_in_use, native_memory

MIB = 1 << 20
ROOM = 150 * MIB


TAKERS = ("torch", "numpy", "python", "convolution")


def take_all(limited: bool) -> dict[str, str]:
    """For each way of taking far too much, the error with which it ends."""
    import numpy as np
    import torch

    def convolve() -> None:
        layer = torch.nn.Conv2d(3, 64, 3)
        layer(torch.ones(4, 3, 8, 8))  # its kernels are loaded
        layer(torch.ones(8, 3, 256, 256)).sum().backward()

    takers: dict[str, Callable[[], Any]] = {
        "torch": lambda: torch.ones(ROOM),
        "numpy": lambda: np.ones(ROOM),
        "python": lambda: bytes(2 * ROOM),
        "convolution": convolve,
    }
    return {name: _take(taker, limited) for name, taker in takers.items()}


def _take(taker: Callable[[], Any], limited: bool) -> str:
    try:
        with native_memory(memory_in_use() + ROOM if limited else None, mapped=0, batch_size=4096):
            taker()
    except ResourceError as error:
        return str(error)
    return "granted"


@pytest.fixture(scope="module", params=[True, False], ids=["limited", "unlimited"])
def taken(request: pytest.FixtureRequest) -> tuple[bool, dict[str, str]]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return request.param, pool.apply(take_all, (request.param,))


@pytest.mark.parametrize("what", TAKERS)
def test_too_much_ends_in_an_error_with_limit_use_and_remedy(what: str, taken: tuple[bool, dict[str, str]]) -> None:
    limited, messages = taken
    message = messages[what]
    if not limited:
        assert message == "granted"
        return
    assert message.startswith("out of memory: --native-memory allows ")
    assert "MiB are in use" in message
    assert "with batches of 4096 images" in message
    assert "lower --batch-size, or raise --native-memory" in message


def test_what_is_within_the_limit_is_granted_and_the_limit_is_put_back() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with native_memory(memory_in_use() + ROOM, mapped=0, batch_size=1):
        assert resource.getrlimit(resource.RLIMIT_DATA) != before
        assert len(bytes(MIB)) == MIB
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_the_limit_is_put_back_after_an_error() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(ResourceError), native_memory(memory_in_use() + ROOM, mapped=0, batch_size=1):
        raise MemoryError
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


@pytest.mark.parametrize("mapped", [0, ROOM])
def test_a_limit_below_what_is_in_use_is_refused_at_once(mapped: int) -> None:
    limit = memory_in_use() + mapped // 2 - 1
    with (
        pytest.raises(ResourceError, match=r"in use before its first step.*raise --native-memory"),
        native_memory(limit, mapped=mapped, batch_size=1),
    ):
        pytest.fail("it was let in")


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), ValueError("x"), RuntimeError("could not create a primitive")]
)
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)), native_memory(None, mapped=0, batch_size=1):
        raise error


@pytest.mark.parametrize(
    "text",
    ["[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 52428800 bytes", "std::bad_alloc", "can't start new thread"],
)  # fmt: skip
def test_a_machine_that_refuses_memory_is_named_where_there_is_no_limit(text: str) -> None:
    with (
        pytest.raises(ResourceError, match=r"this machine refuses more.*more memory overhead"),
        native_memory(None, mapped=0, batch_size=1),
    ):
        raise RuntimeError(text)


def test_a_cause_is_looked_at_too() -> None:
    error = RuntimeError("lost a peer")
    error.__cause__ = MemoryError()
    with pytest.raises(ResourceError), native_memory(None, mapped=0, batch_size=1):
        raise error
