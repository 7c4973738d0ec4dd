"""Connections that are taken on one port and handed on to gloo's."""

from __future__ import annotations

import socket
import threading
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from tests.unit.distributed.exchanges import in_threads

from sparkweave.distributed.exchange import Exchange
from sparkweave.distributed.forwarding import ForwardedStore, Forwarder
from sparkweave.distributed.interface import Interface
from sparkweave.distributed.probing import ProbingExchange, announced
from sparkweave.errors import ResourceError
from sparkweave.testing.ports import free_ports

SIZE = 300_000


def test_workers_of_different_addresses_meet_on_the_ports_that_they_were_given() -> None:
    """Two of gloo's process groups, as on two hosts: it takes them for such by their addresses."""
    ports = free_ports(3)
    accepted: list[int] = []

    class Watched(Forwarder):
        def __call__(self, connection: socket.socket, first: bytes) -> None:
            accepted.append(connection.getsockname()[1])
            super().__call__(connection, first)

    def work(rank: int, exchange: Exchange) -> list[float]:
        interface = Interface(name="lo", address=f"127.0.0.{rank + 2}")
        forwarder, port = Watched(), ports[rank]
        with announced(interface, rank=rank, ports=(port, port), callers=2, other=forwarder) as card:
            store = ForwardedStore(ProbingExchange(exchange, card), forwarder, card.address, card.port)
            group = gloo_group(store, rank, 3, interface.address)
        tensor = torch.full((SIZE,), float(rank + 1))
        group.allreduce([tensor]).wait()
        return [tensor[0].item(), tensor[-1].item()]

    assert in_threads(3, work) == [[6.0, 6.0]] * 3
    assert len(accepted) == 3
    assert set(accepted) <= set(ports)


def gloo_group(store: dist.Store, rank: int, world_size: int, address: str) -> dist.ProcessGroupGloo:  # type: ignore[name-defined]
    options = dist.ProcessGroupGloo._Options()  # type: ignore[attr-defined]
    options._devices = [dist.ProcessGroupGloo.create_device(hostname=address)]  # type: ignore[attr-defined]
    options._timeout = timedelta(seconds=20)
    return dist.ProcessGroupGloo(store, rank, world_size, options)  # type: ignore[attr-defined]


ADDRESS = b"\x02\x00\x90\x01\x0a\x1b\x00\x05"  # AF_INET, port 36865, 10.27.0.5


def store(address: str, exchange: Exchange = lambda text: [text]) -> tuple[ForwardedStore, Forwarder]:
    forwarder = Forwarder()
    return ForwardedStore(exchange, forwarder, address, 47000), forwarder


def published(key: str, value: bytes) -> str:
    """What a worker at 10.27.0.5 tells the others."""
    told: list[str] = []
    there, forwarder = store("10.27.0.5", lambda text: told.append(text) or [text, '{"x": ""}'])  # type: ignore[func-returns-value]
    there.set(key, value)
    there.get("x")
    assert forwarder.port == 36865
    return told[0]


def test_other_machines_are_told_the_forwarded_port() -> None:
    text = published("0", b"vm" + ADDRESS + b"\x00\xff")
    here, _ = store("10.27.0.6", lambda own: [text, own])
    here.set("1", b"\x02\x00\x90\x02\x0a\x1b\x00\x06")
    assert here.get("0") == b"vm" + b"\x02\x00\xb7\x98\x0a\x1b\x00\x05" + b"\x00\xff"
    assert here.get("1") == b"\x02\x00\x90\x02\x0a\x1b\x00\x06"


def test_workers_of_the_same_machine_call_gloo_itself() -> None:
    text = published("0", ADDRESS)
    here, _ = store("10.27.0.5", lambda own: [text, own])
    here.set("1", b"\x02\x00\x90\x02\x0a\x1b\x00\x05")
    assert here.get("0") == ADDRESS


def test_an_address_that_is_told_otherwise_is_an_error_and_not_a_way_around_the_range() -> None:
    here, _ = store("10.27.0.5")
    here.set("0", b"host:36865")
    with pytest.raises(ResourceError, match="leave --port out with this version of torch"):
        here.get("0")


def test_both_ends_learn_of_each_others_end() -> None:
    forwarder = Forwarder()
    with socket.create_server(("127.0.0.1", 0)) as inner:
        forwarder.address, forwarder.port = "127.0.0.1", inner.getsockname()[1]
        theirs, ours = socket.socketpair()
        thread = threading.Thread(target=forwarder, args=(TcpLike(ours), b"first "))
        thread.start()
        behind, _ = inner.accept()
        theirs.sendall(b"words")
        theirs.shutdown(socket.SHUT_WR)
        assert b"".join(iter(lambda: behind.recv(100), b"")) == b"first words"
        behind.sendall(b"answer")
        behind.close()
        assert b"".join(iter(lambda: theirs.recv(100), b"")) == b"answer"
        thread.join(20)
        assert not thread.is_alive()
        theirs.close()


class TcpLike(socket.socket):
    """One end of a pair that takes TCP's options too."""

    def __init__(self, end: socket.socket) -> None:
        super().__init__(end.family, end.type, end.proto, fileno=end.detach())

    def setsockopt(self, *_: object) -> None:  # type: ignore[override]
        pass
