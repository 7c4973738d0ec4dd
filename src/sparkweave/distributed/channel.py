"""A small authenticated channel from the workers to the driver: loss and speed while a segment runs.

Training does not depend on it: a worker that can't reach the driver, or outruns it, drops its messages.

A frame is 4 bytes of length (big-endian, of what follows), 32 bytes of HMAC-SHA256 and a JSON object. The key is the run's
secret, which travels with the Spark task. The object carries the attempt, a name that its connection made up and a running
number, so that neither a replayed frame or connection nor one of an earlier attempt's zombie is taken.

The driver answers nothing but ``clock`` frames, with its time: a worker asks a few times when it has connected, and puts into all
other messages how far its clock is behind (as in NTP, from the middle of the quickest question and answer).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import hmac
import itertools
import json
import queue
import secrets
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any, Self

from sparkweave.distributed.listening import listen
from sparkweave.distributed.network import Ports
from sparkweave.distributed.reading import read_whole

MAX_FRAME_BYTES = 64 << 10
_MAC_BYTES = 32
_HEARTBEAT_SECONDS = 1.0
_QUEUED = 1000
_SEND_SECONDS = 10.0
_CLOCK_ROUNDS = 5

Message = Mapping[str, Any]
_HEARTBEAT: Message = {"event": "heartbeat"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChannelAddress:
    """Where the driver listens, and the secret that a frame must be signed with."""

    host: str
    port: int
    secret: str = dataclasses.field(repr=False)
    attempt: int = 0


class ChannelServer:
    """The driver's end. Calls ``receive(message)`` for each authentic message of the current attempt.

    Use it as a context manager.
    """

    def __init__(
        self,
        receive: Callable[[Message], None],
        *,
        closed: Callable[[Message], None] = lambda _message: None,
        host: str,
        bind: str | None = None,
        ports: Ports | None = None,
    ) -> None:
        """Listens at once.

        Args:
            receive: Called from a connection's thread, one message at a time.
            closed: Called with the last message of a connection of the current attempt once that has ended.
            host: The driver's name or address, as workers know it.
            bind: The address to listen on; ``host`` by default.
            ports: Where to listen; None leaves it to the system.

        Raises:
            ResourceError: if no port of ``ports`` can be had.
        """
        self._receive = receive
        self._closed = closed
        self._host = host
        self._secret = secrets.token_hex(32)
        self._attempt = 0
        self._connections: set[str] = set()
        self._lock = threading.Lock()
        self._server = _Server(listen(bind or host, ports), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    def next_attempt(self) -> ChannelAddress:
        """The address for the workers of a new attempt; frames of earlier ones are refused from now on."""
        with self._lock:
            self._attempt += 1
            self._connections.clear()
        port = self._server.server_address[1]
        return ChannelAddress(host=self._host, port=port, secret=self._secret, attempt=self._attempt)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.next_attempt()  # what connections that are still open bring is refused
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def handle(self, connection: socket.socket) -> None:
        """Reads frames until one is not as it must be."""
        last = self._receive_all(connection)
        with self._lock:
            if last is not None and last["attempt"] == self._attempt:
                self._closed(last)

    def _receive_all(self, connection: socket.socket) -> Message | None:
        """The last message that was taken."""
        opened: str | None = None
        last: Message | None = None
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            for expected in itertools.count():
                message = _read_frame(connection, self._secret)
                if message is None or message["number"] != expected:
                    break
                name = message.pop("connection")
                if message["event"] == "clock":
                    connection.sendall(_frame({"number": expected, "time": time.time()}, self._secret))
                    continue
                with self._lock:
                    is_foreign = name in self._connections if opened is None else name != opened
                    if is_foreign or message["attempt"] != self._attempt:
                        break
                    self._connections.add(opened := name)
                    self._receive(last := message)
                connection.settimeout(None)  # one of ours: how long it may be silent is the caller's to judge
        return last


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, channel: ChannelServer) -> None:
        self._channel = channel
        super().__init__(listener.getsockname(), socketserver.BaseRequestHandler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(60)
        self._channel.handle(request)


@contextlib.contextmanager
def channel_to(address: ChannelAddress | None, sender: Message) -> Generator[Callable[[Message], None]]:
    """A function that hands messages over without ever waiting; they are sent by a thread, with a heartbeat between them.

    Args:
        address: Where the driver listens; None sends nothing.
        sender: Put into every message: the worker's rank, host and process.
    """
    if address is None:
        yield lambda _message: None
        return
    outbox: queue.Queue[Message | None] = queue.Queue(_QUEUED)
    thread = threading.Thread(target=_send, args=(address, sender, outbox), name="sparkweave-channel", daemon=True)
    thread.start()

    def hand_over(message: Message) -> None:
        with contextlib.suppress(queue.Full):
            outbox.put_nowait(message)

    try:
        yield hand_over
    finally:
        with contextlib.suppress(queue.Full):
            outbox.put(None, timeout=1)
        thread.join(timeout=5)


def _send(address: ChannelAddress, sender: Message, outbox: queue.Queue[Message | None]) -> None:
    with (
        contextlib.suppress(OSError),
        socket.create_connection((address.host, address.port), timeout=_SEND_SECONDS) as connection,
    ):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = _Line(connection, address, sender)
        line.send(_HEARTBEAT)  # so that the driver knows of this worker before anything can stop it
        line.compare_clocks()
        while True:
            try:
                message = outbox.get(timeout=_HEARTBEAT_SECONDS)
            except queue.Empty:
                message = _HEARTBEAT
            if message is None:
                return
            line.send(message)


class _Line:
    """A worker's connection to the driver."""

    def __init__(self, connection: socket.socket, address: ChannelAddress, sender: Message) -> None:
        self._connection = connection
        self._secret = address.secret
        self._stamp = {**sender, "attempt": address.attempt, "connection": secrets.token_hex(16), "offset": 0.0}
        self._number = 0

    def send(self, message: Message) -> None:
        """Unless it is too long."""
        frame = _frame({**message, **self._stamp, "number": self._number}, self._secret)
        if len(frame) <= MAX_FRAME_BYTES:
            self._connection.sendall(frame)
            self._number += 1

    def compare_clocks(self) -> None:
        """Finds out how far this clock is behind the driver's; one that is too busy to answer leaves it at nothing."""
        found = []
        with contextlib.suppress(TimeoutError):
            for _ in range(_CLOCK_ROUNDS):
                asked, began = time.time(), time.monotonic()
                self.send({"event": "clock"})
                answer = _read_frame(self._connection, self._secret)
                took = time.monotonic() - began
                if answer is None:
                    return
                found.append((took, answer["time"] - asked - took / 2))
            self._stamp["offset"] = min(found)[1]


def _frame(message: Message, secret: str) -> bytes:
    body = json.dumps(message).encode()
    mac = hmac.digest(secret.encode(), body, hashlib.sha256)
    return (_MAC_BYTES + len(body)).to_bytes(4, "big") + mac + body


def _read_frame(connection: socket.socket, secret: str) -> dict[str, Any] | None:
    header = read_whole(connection, 4)
    length = int.from_bytes(header, "big")
    if not _MAC_BYTES < length <= MAX_FRAME_BYTES:
        return None
    frame = read_whole(connection, length)
    mac, body = frame[:_MAC_BYTES], frame[_MAC_BYTES:]
    if not hmac.compare_digest(mac, hmac.digest(secret.encode(), body, hashlib.sha256)):
        return None
    message: dict[str, Any] = json.loads(body)
    return message
