"""What can be said of the network, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkweave.distributed.network import Endpoint, Network, parse_ports, show_ports
from sparkweave.errors import ConfigError

PORT = st.integers(1, 65535)


def test_nothing_has_to_be_said() -> None:
    network = Network()
    assert (network.ports, network.subnet, network.controller, network.controller_host) == (None, None, None, None)
    assert (network.transport, network.allow_plaintext) == ("collective", False)


@given(first=PORT, last=PORT)
def test_a_range_is_read_as_it_is_shown(first: int, last: int) -> None:
    ports = min(first, last), max(first, last)
    assert parse_ports(show_ports(ports)) == ports


@pytest.mark.parametrize("text", ["", "x", "1-2-3", "-5", "5-", "47100-47000", "0", "0-5", "70000", "1.5", "4７000"])
def test_what_is_no_range_of_ports_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_ports(text)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ports": (5, 4)}, "the ports are 5 to 4; the first must not be greater than the last"),
        ({"subnet": "10.27.0.0/33"}, "subnet is '10.27.0.0/33'; it must be an IPv4 network such as 10.27.0.0/16"),
        ({"subnet": "fd00::/8"}, "must be an IPv4 network"),
        ({"subnet": "eth0"}, "must be an IPv4 network"),
        ({"controller": ""}, "controller is ''; it must be HOST or HOST:PORT"),
        ({"controller": ":5"}, "must be HOST or HOST:PORT"),
        ({"controller": "host:"}, "must be HOST or HOST:PORT"),
        ({"controller": "host:x"}, "must be HOST or HOST:PORT"),
        ({"controller": "a host"}, "must be HOST or HOST:PORT"),
        ({"controller": "host:0"}, "from 1 to 65535"),
        ({"transport": "mpi"}, "transport is 'mpi'; choose one of collective, spark"),
    ],
)
def test_options_that_break_their_rules_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
        Network(**options)


def test_without_a_controller_the_driver_is_called_by_sparks_name_for_it() -> None:
    assert Network(ports=(5, 9)).endpoint("driver", None) == Endpoint(host="driver", bind="driver", ports=(5, 9))
    assert Network().endpoint("driver", "0.0.0.0") == Endpoint(host="driver", bind="0.0.0.0", ports=None)


def test_a_controller_on_this_machine_is_listened_on() -> None:
    network = Network(ports=(5, 9), controller="127.0.0.1:47000")
    assert network.endpoint("driver", "0.0.0.0") == Endpoint(host="127.0.0.1", bind="127.0.0.1", ports=(47000, 47000))
    assert network.controller_host == "127.0.0.1"


def test_a_controller_elsewhere_leads_to_where_the_driver_listens() -> None:
    network = Network(ports=(5, 9), controller="192.0.2.77")
    assert network.endpoint("driver", "0.0.0.0") == Endpoint(host="192.0.2.77", bind="0.0.0.0", ports=(5, 9))
    assert network.endpoint("driver", None) == Endpoint(host="192.0.2.77", bind="driver", ports=(5, 9))
