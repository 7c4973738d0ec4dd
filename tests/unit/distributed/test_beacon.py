"""Who answers, and what time it is there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from sparkweave.distributed.beacon import ask, beacon
from sparkweave.testing.ports import free_ports

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
    with beacon(HOST, "token") as called:
        answer = ask(HOST, called.port, "token", seconds=30)
    assert answer["error"] is None
    assert isinstance(answer["seconds"], float)
    assert isinstance(answer["offset"], float)
    assert abs(answer["offset"]) <= answer["seconds"] / 2 + 0.001  # the clocks read have steps of their own


def test_a_stranger_is_not_answered() -> None:
    with beacon(HOST, "token") as called:
        assert ask(HOST, called.port, "another", seconds=30)["error"] is not None


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
    with beacon(HOST, "token") as called:
        pass
    assert ask(HOST, called.port, "token", seconds=30)["error"] is not None


def test_an_answer_that_comes_drop_by_drop_is_given_up_in_time() -> None:
    ended = threading.Event()
    with socket.create_server((HOST, 0)) as listening:

        def trickle() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                while not ended.wait(0.05):
                    connection.sendall(b"1")

        thread = threading.Thread(target=trickle)
        thread.start()
        answer = ask(HOST, listening.getsockname()[1], "token", seconds=0.3)
        ended.set()
        thread.join()
    assert answer["error"] == "timed out"


def test_callers_are_counted_once_they_have_hung_up_and_strangers_are_not() -> None:
    with beacon(HOST, "token") as called:
        ask(HOST, called.port, "tokem", seconds=30)
        assert not called.await_callers(1, seconds=0)
        ask(HOST, called.port, "token", seconds=30)
        ask(HOST, called.port, "token", seconds=30)
        assert called.await_callers(2, seconds=30)
        assert not called.await_callers(3, seconds=0)


def test_a_connection_that_begins_otherwise_is_handed_over_untouched() -> None:
    handed: list[bytes] = []

    def other(connection: socket.socket, first: bytes) -> None:
        handed.append(first + connection.recv(100))
        connection.sendall(b"taken")

    with beacon(HOST, "a long token", other=other) as called:
        with socket.create_connection((HOST, called.port)) as connection:
            connection.sendall(b"other words")
            assert connection.recv(100) == b"taken"
        assert ask(HOST, called.port, "a long token", seconds=30)["error"] is None
    assert handed == [b"other words"]


def test_it_listens_in_the_range() -> None:
    (port,) = free_ports(1)
    with beacon(HOST, "token", (port, port)) as called:
        assert called.port == port
