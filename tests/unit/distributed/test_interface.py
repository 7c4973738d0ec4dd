"""Which interface leads to a host."""

from __future__ import annotations

import socket

import pytest

from sparkweave.distributed.interface import interface_addresses, interface_towards


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_this_host_is_reached_over_the_loopback_interface(host: str) -> None:
    assert interface_towards(host) == "lo"


def test_a_host_without_a_route_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert interface_towards("no-such-host.invalid") is None


def test_an_address_of_no_interface_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "no-such-interface")])
    assert interface_towards("127.0.0.1") is None


def test_every_interface_with_an_address_is_listed() -> None:
    assert interface_addresses()["lo"] == "127.0.0.1"
