"""The channel from the workers to the driver."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from sparkweave.distributed import channel as module
from sparkweave.distributed.channel import MAX_FRAME_BYTES, ChannelAddress, ChannelServer, channel_to

HOST = "127.0.0.1"
SENDER = {"rank": 3, "host": "worker", "pid": 7}
names = (f"connection {number}" for number in itertools.count())


class Driver:
    """A server that keeps what it receives."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.closed: list[dict[str, Any]] = []
        self.server = ChannelServer(self._receive, closed=lambda last: self.closed.append(dict(last)), host=HOST)

    def _receive(self, message: Mapping[str, Any]) -> None:
        self.received.append(dict(message))

    def events(self) -> list[str]:
        return [message["event"] for message in self.received if message["event"] != "heartbeat"]


@pytest.fixture
def driver() -> Iterator[Driver]:
    driver = Driver()
    with driver.server:
        yield driver


def wait_for(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def frame(address: ChannelAddress, **fields: Any) -> bytes:
    return module._frame(
        {"event": "e", "attempt": address.attempt, "number": 0, "connection": next(names), **fields}, address.secret
    )


@contextlib.contextmanager
def connected(address: ChannelAddress) -> Iterator[socket.socket]:
    with socket.create_connection((address.host, address.port), timeout=5) as connection:
        yield connection


def is_refused(connection: socket.socket) -> bool:
    """Whether the server has hung up."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_messages_arrive_in_order_with_who_sent_them(driver: Driver) -> None:
    with channel_to(driver.server.next_attempt(), SENDER) as send:
        for number in range(50):
            send({"event": f"e{number}", "loss": 0.5})
    assert wait_for(lambda: len(driver.events()) == 50)
    assert driver.events() == [f"e{number}" for number in range(50)]
    message = driver.received[1]
    assert {**SENDER, "event": "e0", "loss": 0.5, "attempt": 1}.items() <= message.items()
    assert set(message) == {*SENDER, "event", "loss", "attempt", "number", "offset"}


def test_messages_say_how_far_the_workers_clock_is_behind(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    def clock() -> float:
        return time.time() - 100 * (threading.current_thread().name == "sparkweave-channel")

    monkeypatch.setattr(module, "time", SimpleNamespace(time=clock, monotonic=time.monotonic))
    with channel_to(driver.server.next_attempt(), SENDER) as send:
        send({"event": "e"})
    assert wait_for(lambda: driver.events() == ["e"])
    assert [message["offset"] for message in driver.received] == [0.0, pytest.approx(100, abs=1)]
    assert driver.received[1]["number"] == 1 + module._CLOCK_ROUNDS


def test_a_driver_that_is_too_busy_to_answer_is_told_nothing_of_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SEND_SECONDS", 0.2)
    with socket.create_server((HOST, 0)) as busy:
        address = ChannelAddress(host=HOST, port=busy.getsockname()[1], secret="s")
        with channel_to(address, SENDER) as send:
            send({"event": "e"})
            connection, _ = busy.accept()
            with connection:
                messages = [module._read_frame(connection, "s") for _ in range(3)]
    assert [message and message["event"] for message in messages] == ["heartbeat", "clock", "e"]
    assert messages[2] is not None
    assert messages[2]["offset"] == 0.0


def test_workers_are_heard_beside_each_other(driver: Driver) -> None:
    address = driver.server.next_attempt()
    with channel_to(address, {"rank": 0}) as first, channel_to(address, {"rank": 1}) as second:
        first({"event": "a"})
        second({"event": "b"})
        assert wait_for(lambda: set(driver.events()) == {"a", "b"})


def test_a_worker_with_nothing_to_say_is_heard_all_the_same(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HEARTBEAT_SECONDS", 0.02)
    with channel_to(driver.server.next_attempt(), SENDER):
        assert wait_for(lambda: len(driver.received) >= 3)
    assert {message["event"] for message in driver.received} == {"heartbeat"}


def test_a_worker_is_heard_before_it_has_anything_to_say(driver: Driver) -> None:
    with channel_to(driver.server.next_attempt(), SENDER):
        assert wait_for(lambda: len(driver.received) == 1)
    assert driver.received[0]["event"] == "heartbeat"


def test_the_end_of_a_connection_is_told_with_its_last_message(driver: Driver) -> None:
    with channel_to(driver.server.next_attempt(), SENDER) as send:
        send({"event": "last"})
    assert wait_for(lambda: len(driver.closed) == 1)
    assert driver.closed == driver.received[-1:]


def test_the_end_of_a_connection_of_an_earlier_attempt_is_not_told(driver: Driver) -> None:
    with channel_to(driver.server.next_attempt(), SENDER):
        assert wait_for(lambda: len(driver.received) == 1)
        driver.server.next_attempt()
    with channel_to(driver.server.next_attempt(), SENDER):
        assert wait_for(lambda: len(driver.received) == 2)
    assert wait_for(lambda: len(driver.closed) == 1)


def test_a_frame_is_taken_once_it_is_whole(driver: Driver) -> None:
    address = driver.server.next_attempt()
    with connected(address) as connection:
        for byte in frame(address):
            connection.sendall(bytes([byte]))
        assert wait_for(lambda: driver.events() == ["e"])


def test_a_frame_signed_with_another_secret_is_refused(driver: Driver) -> None:
    address = driver.server.next_attempt()
    stranger = dataclasses.replace(address, secret="guessed")
    with connected(address) as connection:
        connection.sendall(frame(stranger))
        assert is_refused(connection)
    assert driver.received == []


def test_a_changed_frame_is_refused(driver: Driver) -> None:
    address = driver.server.next_attempt()
    content = bytearray(frame(address, loss=1))
    content[-2] ^= 1
    with connected(address) as connection:
        connection.sendall(content)
        assert is_refused(connection)
    assert driver.received == []


@pytest.mark.parametrize("number", [0, 2, -1, None, "1"])
def test_a_frame_out_of_its_turn_is_refused(driver: Driver, number: Any) -> None:
    address = driver.server.next_attempt()
    with connected(address) as connection:
        connection.sendall(frame(address, connection="x"))
        connection.sendall(frame(address, connection="x", number=number))
        assert is_refused(connection)
    assert driver.events() == ["e"]


def test_a_replayed_frame_is_refused(driver: Driver) -> None:
    address = driver.server.next_attempt()
    recorded = frame(address)
    with connected(address) as connection:
        connection.sendall(recorded * 2)
        assert is_refused(connection)
    assert driver.events() == ["e"]


def test_a_replayed_connection_is_refused(driver: Driver) -> None:
    address = driver.server.next_attempt()
    recorded = frame(address, connection="x") + frame(address, connection="x", number=1)
    with connected(address) as connection:
        connection.sendall(recorded)
        assert wait_for(lambda: len(driver.events()) == 2)
        with connected(address) as replay:
            replay.sendall(recorded)
            assert is_refused(replay)
    assert len(driver.events()) == 2


def test_a_frame_of_another_connection_is_refused(driver: Driver) -> None:
    address = driver.server.next_attempt()
    with connected(address) as connection:
        connection.sendall(frame(address, connection="x") + frame(address, connection="y", number=1))
        assert is_refused(connection)
    assert len(driver.events()) == 1


def test_a_zombie_of_an_earlier_attempt_is_refused(driver: Driver) -> None:
    old = driver.server.next_attempt()
    with connected(old) as zombie:
        zombie.sendall(frame(old, connection="x"))
        assert wait_for(lambda: len(driver.events()) == 1)
        new = driver.server.next_attempt()
        assert (old.attempt, new.attempt) == (1, 2)
        zombie.sendall(frame(old, connection="x", number=1))
        assert is_refused(zombie)
    with connected(new) as late:
        late.sendall(frame(old))
        assert is_refused(late)
    assert len(driver.events()) == 1


@pytest.mark.parametrize("length", [0, 1, 32, MAX_FRAME_BYTES + 1, 2**32 - 1])
def test_a_length_out_of_bounds_is_refused_before_anything_is_read(driver: Driver, length: int) -> None:
    with connected(driver.server.next_attempt()) as connection:
        connection.sendall(length.to_bytes(4, "big"))
        assert is_refused(connection)


@pytest.mark.parametrize(
    "body",
    [b"{}", b"[]", b"7", b"null", b"not json", b'{"number": 0}', b"\xff\xfe", b'{"number": 0, "connection": []}'],
)
def test_a_signed_body_of_the_wrong_kind_is_refused(
    driver: Driver, body: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    address = driver.server.next_attempt()
    mac = module.hmac.digest(address.secret.encode(), body, "sha256")
    with connected(address) as connection:
        connection.sendall((32 + len(body)).to_bytes(4, "big") + mac + body)
        assert is_refused(connection)
    assert driver.received == []
    assert capfd.readouterr().err == ""


def test_a_message_too_large_is_dropped_and_the_next_one_sent(driver: Driver) -> None:
    with channel_to(driver.server.next_attempt(), SENDER) as send:
        send({"event": "large", "text": "x" * MAX_FRAME_BYTES})
        send({"event": "small"})
    assert wait_for(lambda: driver.events() == ["small"])


def test_a_peer_that_says_nothing_holds_up_nobody(driver: Driver) -> None:
    address = driver.server.next_attempt()
    with connected(address) as silent, connected(address) as slow:
        slow.sendall(frame(address)[:10])
        with channel_to(address, SENDER) as send:
            send({"event": "quick"})
        assert wait_for(lambda: driver.events() == ["quick"])
        silent.sendall(b"")


def test_the_server_ends_while_peers_are_connected_and_takes_nothing_more() -> None:
    driver = Driver()
    with driver.server:
        address = driver.server.next_attempt()
        peer = socket.create_connection((HOST, address.port), timeout=5)
        peer.sendall(frame(address, connection="x"))
        assert wait_for(lambda: len(driver.events()) == 1)
        began = time.monotonic()
    assert time.monotonic() - began < 2
    with peer:
        peer.sendall(frame(address, connection="x", number=1))
        assert is_refused(peer)
    assert len(driver.events()) == 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, address.port), timeout=5)


def test_without_a_driver_nothing_is_sent() -> None:
    before = threading.active_count()
    with channel_to(None, SENDER) as send:
        send({"event": "e"})
        assert threading.active_count() == before


def flood(send: Callable[[Any], None]) -> float:
    """The longest that one of very many messages took to hand over, in seconds."""
    longest = 0.0
    padding = "x" * 40_000
    for number in range(5000):
        began = time.perf_counter()
        send({"event": "e", "number of mine": number, "padding": padding})
        longest = max(longest, time.perf_counter() - began)
    return longest


def test_a_driver_that_is_gone_holds_up_nobody() -> None:
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        port = unused.getsockname()[1]
    began = time.monotonic()
    with channel_to(ChannelAddress(host=HOST, port=port, secret="s"), SENDER) as send:
        assert flood(send) < 0.5
    assert time.monotonic() - began < 5


def test_a_driver_that_goes_while_the_worker_trains_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver()
    with driver.server:
        address = driver.server.next_attempt()
        with channel_to(address, SENDER) as send:
            send({"event": "e"})
            assert wait_for(lambda: driver.events() == ["e"])
            driver.server.__exit__()
            assert flood(send) < 0.5


def test_a_driver_that_does_not_read_holds_up_nobody() -> None:
    with socket.create_server((HOST, 0)) as deaf:
        address = ChannelAddress(host=HOST, port=deaf.getsockname()[1], secret="s")
        began = time.monotonic()
        with channel_to(address, SENDER) as send:
            assert flood(send) < 0.5
        assert time.monotonic() - began < 8  # at the end it is given a moment to read


def test_the_secret_is_not_shown(driver: Driver) -> None:
    address = driver.server.next_attempt()
    assert len(address.secret) == 64
    assert address.secret not in repr(address)


def test_a_frame_holds_json_after_its_length_and_signature() -> None:
    address = ChannelAddress(host=HOST, port=1, secret="s")
    content = frame(address, loss=0.5)
    assert int.from_bytes(content[:4], "big") == len(content) - 4
    assert json.loads(content[36:])["loss"] == 0.5
