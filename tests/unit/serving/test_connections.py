"""Clients that are slow, silent, endless or too many, on raw sockets: each is answered or closed, and the others are served on."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.serving.serving import (
    WAIT_SECONDS,
    Client,
    make_artifact,
    make_png,
    make_service,
    multipart,
    raw,
    running,
    until_closed,
)

from sparkweave.serving.limits import MIB, Limits
from sparkweave.testing.ports import free_ports, is_listening

LIMITS = Limits(
    body_bytes=MIB,
    bodies_bytes=3 * MIB,
    connections=8,
    header_bytes=8192,
    header_seconds=1.0,
    receipt_seconds=1.0,
    idle_seconds=1,
    send_seconds=1.0,
)
POST = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with running(make_service(LIMITS)) as port:
        yield port


@pytest.fixture(autouse=True)
def others_are_served(port: int) -> Iterator[None]:
    """Before, in the middle of it, and after."""
    serve_one(port)
    yield
    serve_one(port)


def serve_one(port: int) -> None:
    client = Client(port)
    try:
        assert client.ask("POST", "/predict", make_png(), {"Content-Type": "image/png"}).status == 200
    finally:
        client.close()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def error_of(answer: bytes) -> str:
    return str(json.loads(answer.partition(b"\r\n\r\n")[2])["error"])


def trickle(client: socket.socket, piece: bytes, at_most: int = 600) -> bytes:
    """Sends a piece every 50 ms until the server has had enough."""
    client.settimeout(0.05)
    received = b""
    with contextlib.suppress(ConnectionError):
        for _ in range(at_most):
            client.sendall(piece)
            with contextlib.suppress(TimeoutError):
                more = client.recv(65536)
                received += more
                if not more:
                    return received
        pytest.fail("the server took it all")
    return received


def test_a_client_that_says_nothing_is_closed(port: int) -> None:
    with raw(port) as client:
        serve_one(port)
        answer = until_closed(client)
    assert status_of(answer) == 408
    assert "the headers did not arrive within 1 s" in error_of(answer)


def test_headers_that_arrive_byte_by_byte_are_cut_off(port: int) -> None:
    with raw(port) as client:
        client.sendall(b"GET /ping HTTP/1.1\r\nX-Slow: ")
        assert status_of(trickle(client, b"a")) == 408


def test_the_second_request_s_headers_are_bounded_too(port: int) -> None:
    with raw(port) as client:
        client.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        client.sendall(b"GET /ping HTTP/1.1\r\nX-Slow: ")
        assert status_of(trickle(client, b"a")) == 408


def test_an_idle_connection_is_closed(port: int) -> None:
    with raw(port) as client:
        client.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = until_closed(client)
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "headers", [b"X-Long: " + b"a" * 100_000, b"".join(b"X-%d: a\r\n" % number for number in range(20_000))]
)
def test_long_headers_are_refused(port: int, headers: bytes) -> None:
    with raw(port) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(b"GET /ping HTTP/1.1\r\n" + headers)
        answer = until_closed(client)
    # A reset may overtake the answer where the rest of the headers is never read.
    assert not answer or status_of(answer) == 431


def test_long_trailers_are_cut_off(port: int) -> None:
    with raw(port) as client:
        client.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n")
        with contextlib.suppress(ConnectionError):
            for number in range(100_000):
                client.sendall(b"X-%d: a\r\n" % number)
            pytest.fail("the server took 100,000 trailers")


def test_a_declared_length_over_the_limit_is_refused_before_it_is_sent(port: int) -> None:
    with raw(port) as client:
        client.sendall(POST + b"Content-Length: 1048577\r\nExpect: 100-continue\r\n\r\n")
        answer = client.recv(65536)
        assert status_of(answer) == 413
        assert b"connection: close" in answer
        assert "has 1,048,577 bytes; at most 1,048,576 are taken" in error_of(answer)
        assert until_closed(client) == b""


def test_a_chunked_body_over_the_limit_is_refused_while_it_arrives(port: int) -> None:
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    with raw(port) as client:
        client.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n" + 17 * chunk)
        answer = client.recv(65536)
        assert status_of(answer) == 413
        with contextlib.suppress(ConnectionError):
            for _ in range(100_000):
                client.sendall(chunk)
            pytest.fail("the server took 6 GB")


def test_a_body_that_does_not_arrive_in_time(port: int) -> None:
    with raw(port) as client:
        client.sendall(POST + b"Content-Length: 1000\r\n\r\nabc")
        answer = trickle(client, b"a")
    assert status_of(answer) == 408
    assert "the body did not arrive within 1 s" in error_of(answer)


def test_a_client_that_leaves_amid_its_body_is_forgotten(port: int) -> None:
    with raw(port) as client:
        client.sendall(POST + b"Content-Length: 1000\r\n\r\nabc")


def test_a_refused_path_does_not_read_on(port: int) -> None:
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    with raw(port) as client:
        client.sendall(b"POST /nope HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(1_000_000):
                client.sendall(chunk)
            pytest.fail("the server took 60 GB")


def test_what_is_no_http_is_refused(port: int) -> None:
    for nonsense in (b"\x16\x03\x01\x02\x00\x01\x00", b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
        with raw(port) as client:
            client.sendall(nonsense)
            assert status_of(until_closed(client)) == 400


def test_two_lengths_are_refused(port: int) -> None:
    with raw(port) as client:
        client.sendall(POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        assert status_of(until_closed(client)) == 400


def test_bodies_that_are_too_much_together_are_refused(port: int) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(raw(port)) for _ in range(4)]
        for client in clients:
            client.sendall(POST + b"Content-Length: 1048576\r\n\r\n" + bytes(MIB - 1))
        answers = [client.recv(65536) for client in clients]
    statuses = [status_of(answer) for answer in answers]
    assert 503 in statuses, "the fourth was one too many"
    assert set(statuses) <= {503, 408}
    refused = answers[statuses.index(503)]
    assert b"retry-after: 1\r\n" in refused


def test_one_connection_too_many_is_refused(port: int) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(LIMITS.connections):
            client = stack.enter_context(raw(port))
            client.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
            client.recv(65536)
        answer = until_closed(stack.enter_context(raw(port)))
    assert status_of(answer) == 503
    assert b"retry-after: 1\r\n" in answer
    until_free(port)


def until_free(port: int) -> None:
    """Until the server has noticed that its clients left."""
    for _ in range(600):
        with raw(port) as client:
            client.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            if until_closed(client).startswith(b"HTTP/1.1 200"):
                return
        time.sleep(0.1)
    pytest.fail("the connections are still there")


def connections(client: Client) -> int:
    text = client.ask("GET", "/metrics").body.decode()
    return int(float(text.partition("\nsparkweave_connections ")[2].partition("\n")[0]))


def test_a_client_that_takes_no_answer_is_closed(port: int) -> None:
    watching = Client(port)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(WAIT_SECONDS)
        client.connect(("127.0.0.1", port))
        with contextlib.suppress(ConnectionError):
            client.sendall(b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2000)
        assert connections(watching) == 2
        for _ in range(600):
            if connections(watching) == 1:
                break
            time.sleep(0.1)
        else:
            pytest.fail("the connection is still there")
    watching.close()


def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    with raw(port) as client:
        one = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
        last = b"GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        client.sendall(9 * one + last)
        answer = until_closed(client)
    assert answer.count(b'{"live":true}') == 9
    assert answer.index(b"text/plain") > answer.rindex(b'{"live":true}')


def memory_of(process: int) -> int:
    """The most bytes that a process ever had in memory."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """A server with the default limits, in a process of its own: its number and port."""
    model = str(tmp_path_factory.mktemp("serving") / "digits.zip")
    make_artifact().save(model)
    port = free_ports(1)[0]
    running = subprocess.Popen(
        [sys.executable, "-m", "sparkweave", "serve", model, "--port", str(port)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    try:
        while not is_listening(port):
            assert running.poll() is None
            time.sleep(0.1)
        serve_one(port)
        yield running.pid, port
    finally:
        running.terminate()
        assert running.wait(WAIT_SECONDS) == 0


def test_memory_stays_bounded_whatever_is_sent(process: tuple[int, int]) -> None:
    number, port = process
    body, headers = multipart([make_png()] * 500)
    client = Client(port)
    for _ in range(3):
        assert client.ask("POST", "/predict", body, headers).status == 200
    client.close()
    before = memory_of(number)
    chunk = b"100000\r\n" + bytes(MIB) + b"\r\n"
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(raw(port)) for _ in range(60)]
        for one in clients:
            one.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(17):
            for one in clients:
                with contextlib.suppress(ConnectionError):
                    one.sendall(chunk)
    grown = memory_of(number) - before
    limits = Limits()
    assert 4 * limits.bodies_bytes < 60 * 17 * MIB, "much more was sent than may be held"
    assert grown < 2 * limits.bodies_bytes + 64 * MIB
    serve_one(port)


def test_memory_stays_bounded_for_json_of_many_lists(process: tuple[int, int]) -> None:
    number, port = process
    before = memory_of(number)
    client = Client(port)
    body = b'{"images": [' + b"[]," * 5_000_000 + b"[]]}"
    for _ in range(3):
        assert client.ask("POST", "/predict", body, {"Content-Type": "application/json"}).status == 413
    client.close()
    assert memory_of(number) - before < 100 * MIB
