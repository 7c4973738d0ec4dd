"""Collectives by torch.distributed."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from tests.unit.gangs import run_processes

from sparkweave.distributed import torch_collective as module
from sparkweave.distributed.collective import Collective
from sparkweave.distributed.forwarding import ForwardedStore
from sparkweave.distributed.interface import Interface
from sparkweave.distributed.network import DIRECT, Network
from sparkweave.distributed.probing import Card
from sparkweave.distributed.rendezvous import ExchangeStore
from sparkweave.distributed.torch_collective import torch_collective
from sparkweave.errors import CollectiveError, ResourceError


def fail_or_reduce(collective: Collective, failing: int) -> float:
    if collective.rank == failing:
        raise ArithmeticError("made on purpose")
    tensor = torch.ones(1)
    collective.all_reduce(tensor)
    return tensor.item()


def sleep_or_reduce(collective: Collective, seconds: float) -> None:
    if collective.rank == 1:
        time.sleep(seconds)
        return
    collective.all_reduce(torch.ones(1))


def interface(collective: Collective) -> str | None:
    return os.environ.get("GLOO_SOCKET_IFNAME")


def test_a_peer_that_is_gone_is_noticed_at_once() -> None:
    began = time.monotonic()
    failed, victim = run_processes(2, fail_or_reduce, 0)
    assert isinstance(failed, ArithmeticError)
    assert isinstance(victim, CollectiveError)
    assert "rank 1 lost the connection to a peer" in str(victim)
    assert time.monotonic() - began < 15


def test_a_silent_peer_is_noticed_after_the_timeout() -> None:
    waiting, _ = run_processes(2, sleep_or_reduce, 3.0, timeout_seconds=1.0)
    assert isinstance(waiting, CollectiveError)
    assert "rank 0 waited 1 s for a peer that stayed silent" in str(waiting)
    assert "--collective-timeout" in str(waiting)


def test_a_process_can_join_one_gang_after_another() -> None:
    for failing in (0, 1, -1):
        outcomes = run_processes(2, fail_or_reduce, failing)
    assert outcomes == [2.0, 2.0]


def test_gloo_is_bound_to_the_interface_that_leads_to_the_driver() -> None:
    assert run_processes(2, interface) == ["lo", "lo"]


class Group:
    """What `torch.distributed` was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
        self.asked: dict[str, Any] = {}
        self.error = error
        self.destroyed = 0
        monkeypatch.setattr(dist, "init_process_group", self.init)
        monkeypatch.setattr(dist, "destroy_process_group", self.destroy)
        monkeypatch.setattr(module, "choose_interface", self.choose)
        monkeypatch.setattr(module, "announced", self.announce)
        for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            # set and deleted, so that what the code sets is taken back after the test
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)

    def choose(self, subnet: str | None, towards: str) -> Interface:
        return Interface(name=os.environ.get("GLOO_SOCKET_IFNAME") or f"to-{towards}", address="127.0.0.1")

    @contextlib.contextmanager
    def announce(self, interface: Interface, *, rank: int, callers: int, ports: Any, other: Any) -> Iterator[Card]:
        """Nobody calls here."""
        self.announced = (rank, callers, ports)
        yield Card(rank=rank, host="h", interface=interface.name, address=interface.address, port=1, token="t")

    def init(self, backend: str, **options: Any) -> None:
        self.asked = {"backend": backend, **options}
        self.interfaces = os.environ["GLOO_SOCKET_IFNAME"], os.environ["NCCL_SOCKET_IFNAME"]
        if self.error:
            raise self.error

    def destroy(self) -> None:
        self.destroyed += 1


def form(device: str, rank: int = 0, network: Network = DIRECT) -> Any:
    return torch_collective(
        lambda text: [text, text],
        rank=rank,
        world_size=2,
        device=torch.device(device),
        timeout_seconds=7.0,
        towards="driver",
        network=network,
    )


@pytest.mark.parametrize(("device", "backend"), [("cpu", "gloo"), ("cuda:1", "nccl")])
def test_the_device_decides_what_carries_the_tensors(
    monkeypatch: pytest.MonkeyPatch, device: str, backend: str
) -> None:
    group = Group(monkeypatch)
    with form(device) as collective:
        assert (collective.rank, collective.world_size) == (0, 2)
        assert group.destroyed == 0
    assert group.destroyed == 1
    assert group.asked["backend"] == backend
    assert group.asked["timeout"].total_seconds() == 7
    assert group.asked["device_id"] == (torch.device(device) if backend == "nccl" else None)
    assert isinstance(group.asked["store"], ExchangeStore)
    assert group.interfaces == ("to-driver", "to-driver")
    assert not {"GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"} & os.environ.keys()


@pytest.mark.parametrize(("device", "rank", "at_once"), [("cuda:0", 0, True), ("cuda:0", 1, False), ("cpu", 0, False)])
def test_only_the_first_rank_of_nccl_publishes_at_once(
    monkeypatch: pytest.MonkeyPatch, device: str, rank: int, at_once: bool
) -> None:
    group = Group(monkeypatch)
    exchanged: list[str] = []
    with torch_collective(
        lambda text: exchanged.append(text) or [text],  # type: ignore[func-returns-value]
        rank=rank,
        world_size=2,
        device=torch.device(device),
        timeout_seconds=7.0,
        towards="driver",
    ):
        group.asked["store"].set("key", "value")
    assert bool(exchanged) is at_once


def test_what_the_node_says_of_interfaces_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(monkeypatch)
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "chosen")
    with form("cpu"):
        assert group.interfaces == ("to-driver", "chosen")
    assert os.environ["NCCL_SOCKET_IFNAME"] == "chosen"
    assert "GLOO_SOCKET_IFNAME" not in os.environ


def test_a_subnet_is_more_than_what_the_node_says(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(monkeypatch)
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "chosen")
    with form("cpu", network=Network(subnet="127.0.0.0/8")):
        assert group.interfaces == ("to-driver", "to-driver")
    assert os.environ["NCCL_SOCKET_IFNAME"] == "chosen"


def test_all_others_have_called_before_a_worker_stops_answering(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(monkeypatch)
    with form("cpu", 1, network=Network(ports=(47000, 47001))):
        assert group.announced == (1, 1, (47000, 47001))
        assert isinstance(group.asked["store"], ForwardedStore)


def test_a_range_of_ports_can_not_be_kept_between_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    Group(monkeypatch)
    with (
        pytest.raises(ResourceError, match="47000-47001, and NCCL"),
        form("cuda", network=Network(ports=(47000, 47001))),
    ):
        pass


def test_the_group_is_taken_down_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(monkeypatch)
    with pytest.raises(KeyError), form("cpu"):
        raise KeyError
    assert group.destroyed == 1


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("Connection refused\nstack"), r"rank 0 lost the connection to a peer \(Connection refused\)"),
        (RuntimeError("Socket Timeout"), r"rank 0 waited 7 s for a peer that stayed silent \(Socket Timeout\)"),
        (RuntimeError(""), r"\(RuntimeError\)"),
    ],
)
def test_workers_that_cannot_meet_say_why(monkeypatch: pytest.MonkeyPatch, error: Exception, message: str) -> None:
    group = Group(monkeypatch, error)
    with pytest.raises(CollectiveError, match=message), form("cpu"):
        pass
    assert group.destroyed == 0
