"""Who answers, and what time it is there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sparkweave.deploy.doctor.beacon import ask, beacon

HOST = "127.0.0.1"


@contextmanager
def server(answer: bytes | None) -> Iterator[int]:
    """Answers one connection with something else, or not at all."""
    with socket.create_server((HOST, 0)) as listening, socket.socket() as kept:
        connections = [kept]

        def serve() -> None:
            connection, _ = listening.accept()
            connections.append(connection)
            if answer is not None:
                connection.recv(100)
                connection.sendall(answer)
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()
        connections[-1].close()


def test_the_same_clock_is_not_off_by_more_than_half_of_a_round_trip() -> None:
    with beacon(HOST, "token") as port:
        answer = ask(HOST, port, "token", seconds=30)
    assert answer["error"] is None
    assert isinstance(answer["seconds"], float)
    assert isinstance(answer["offset"], float)
    assert abs(answer["offset"]) <= answer["seconds"] / 2 + 0.001  # the clocks read have steps of their own


def test_a_stranger_is_not_answered() -> None:
    with beacon(HOST, "token") as port:
        assert ask(HOST, port, "another", seconds=30)["error"] is not None


def test_nobody_there() -> None:
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    answer = ask(HOST, port, "token", seconds=30)
    assert answer["offset"] is None
    assert "refused" in str(answer["error"])


def test_a_port_that_swallows_everything_is_given_up() -> None:
    with server(None) as port:
        assert ask(HOST, port, "token", seconds=0.2)["error"] == "timed out"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\n", b"no line", b""])
def test_something_else_answers(answer: bytes) -> None:
    with server(answer) as port:
        assert ask(HOST, port, "token", seconds=30)["error"]


def test_the_port_is_closed_in_the_end() -> None:
    with beacon(HOST, "token") as port:
        pass
    assert ask(HOST, port, "token", seconds=30)["error"] is not None
