"""Ports of a range."""

from __future__ import annotations

import contextlib
import socket

import pytest

from sparkweave.distributed.listening import listen
from sparkweave.errors import ResourceError
from sparkweave.testing.ports import free_ports

HOST = "127.0.0.1"


def test_the_first_free_port_of_the_range_is_taken() -> None:
    first = next(port for port in free_ports(50) if can_bind(port + 1))
    with listen(HOST, (first, first + 1)) as one, listen(HOST, (first, first + 1)) as other:
        assert [one.getsockname()[1], other.getsockname()[1]] == [first, first + 1]


def test_a_range_in_which_no_port_is_left_is_an_error_that_names_it() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ResourceError) as caught:
            listen(HOST, (port, port))
    assert str(caught.value).startswith(
        f"none of the ports {port} can be had on {HOST} of host {socket.gethostname()}: Address already in use. A host needs one"
    )


def test_an_address_of_another_machine_is_an_error_that_names_it() -> None:
    with pytest.raises(
        ResourceError, match=r"can't listen on the address 192\.0\.2\.77: .*; for the driver, spark\.driver"
    ):
        listen("192.0.2.77", None)


def can_bind(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_server((HOST, port)):
        return True
    return False
