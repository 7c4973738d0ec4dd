"""Which interface workers talk over."""

from __future__ import annotations

import socket

import pytest

from sparkweave.distributed import interface as module
from sparkweave.distributed.interface import (
    CHOSEN_BY_NODE,
    Interface,
    choose_interface,
    interface_addresses,
    interface_towards,
    is_own,
)
from sparkweave.errors import ResourceError

HOST = {"lo": "127.0.0.1", "eth0": "192.168.7.5", "eth1": "10.27.3.4", "ib0": "10.27.9.9"}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """One with several interfaces, whose way to the driver is eth0."""
    monkeypatch.delenv(CHOSEN_BY_NODE, raising=False)
    monkeypatch.setattr(module, "interface_addresses", lambda: HOST)
    monkeypatch.setattr(module, "interface_towards", {"driver": "eth0", "ib-driver": "ib0"}.get)


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


def test_addresses_of_this_machine_are_told_from_others() -> None:
    assert is_own("127.0.0.1")
    assert is_own("localhost")
    assert not is_own("192.0.2.77")
    assert not is_own("no-such-host.invalid")


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize(
    ("subnet", "towards", "name"),
    [
        (None, "driver", "eth0"),
        ("10.27.3.0/24", "driver", "eth1"),
        ("10.27.3.77/24", "driver", "eth1"),
        ("10.27.0.0/16", "driver", "eth1"),
        ("10.27.0.0/16", "ib-driver", "ib0"),
        ("192.168.7.5", "driver", "eth0"),
        ("127.0.0.0/8", "driver", "lo"),
    ],
)
def test_the_interface_is_in_the_subnet_or_leads_to_the_driver(subnet: str | None, towards: str, name: str) -> None:
    assert choose_interface(subnet, towards) == Interface(name=name, address=HOST[name])


@pytest.mark.usefixtures("host")
def test_a_subnet_that_no_interface_is_in_is_an_error_that_names_host_subnet_and_interfaces() -> None:
    with pytest.raises(ResourceError) as caught:
        choose_interface("10.28.0.0/16", "driver")
    assert str(caught.value) == (
        f"host {socket.gethostname()} has no interface in the subnet 10.28.0.0/16; its interfaces are eth0 192.168.7.5, eth1 10.27.3.4, "
        "ib0 10.27.9.9, lo 127.0.0.1. Give a --subnet in which every host has an address, or leave it out to use the interface that "
        "leads to the driver"
    )


@pytest.mark.usefixtures("host")
def test_what_the_nodes_administrator_chose_comes_before_the_way_to_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHOSEN_BY_NODE, "ib0,eth1")
    assert choose_interface(None, "driver") == Interface(name="ib0", address="10.27.9.9")
    assert choose_interface("10.27.3.0/24", "driver") == Interface(name="eth1", address="10.27.3.4")


@pytest.mark.usefixtures("host")
def test_where_nothing_can_be_told_gloo_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_interface(None, "elsewhere") is None
    monkeypatch.setenv(CHOSEN_BY_NODE, "no-such-interface")
    assert choose_interface(None, "driver") is None
