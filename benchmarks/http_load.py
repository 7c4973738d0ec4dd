"""Load on a server of this machine: so many connections that each send the next request when the last is answered.

One process with raw sockets, whose requests are made beforehand, so that it takes as little as it can of the cores that it shares with the
server.
"""

from __future__ import annotations

import dataclasses
import selectors
import socket
import time
from collections.abc import Sequence

BOUNDARY = b"sparkweave-benchmark"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Load:
    """What came of it: answers a second, and how long they took, in seconds."""

    rate: float
    median: float
    p99: float


class _Client:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.sent_at = 0.0

    def send(self, request: bytes) -> None:
        self.received, self.sent_at = b"", time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Takes what is there; whether the answer is whole."""
        content = self.socket.recv(1 << 18)
        if not content:
            raise RuntimeError("the server closed a connection")
        self.received += content
        head, blank, body = self.received.partition(b"\r\n\r\n")
        if not blank:
            return False
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"the server answered {self.received[:300]!r}")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        return len(body) >= length


def multipart_request(path: str, images: Sequence[bytes]) -> bytes:
    """A request with these images in fields called ``image``."""
    head = b'\r\nContent-Disposition: form-data; name="image"; filename="image.png"\r\nContent-Type: image/png\r\n\r\n'
    body = b"".join(b"--" + BOUNDARY + head + image + b"\r\n" for image in images) + b"--" + BOUNDARY + b"--\r\n"
    fields = f"Host: localhost\r\nContent-Type: multipart/form-data; boundary={BOUNDARY.decode()}\r\n"
    return f"POST {path} HTTP/1.1\r\n{fields}Content-Length: {len(body)}\r\n\r\n".encode() + body


def load(port: int, requests: Sequence[bytes], *, connections: int, seconds: float, warm_up: float = 1.0) -> Load:
    """Sends ``requests`` in turn for so long, and measures after the warm-up."""
    clients = [_Client(port) for _ in range(connections)]
    try:
        with selectors.DefaultSelector() as selector:
            for number, client in enumerate(clients):
                selector.register(client.socket, selectors.EVENT_READ, client)
                client.send(requests[number % len(requests)])
            return _measure(selector, requests, seconds, warm_up)
    finally:
        for client in clients:
            client.socket.close()


def _measure(selector: selectors.BaseSelector, requests: Sequence[bytes], seconds: float, warm_up: float) -> Load:
    began = time.perf_counter() + warm_up
    times: list[float] = []
    number, now = 0, 0.0
    while now < began + seconds:
        for key, _ in selector.select(1.0):
            client: _Client = key.data
            if not client.receive():
                continue
            now = time.perf_counter()
            if now > began:
                times.append(now - client.sent_at)
            number += 1
            client.send(requests[number % len(requests)])
    times.sort()
    return Load(rate=len(times) / (now - began), median=times[len(times) // 2], p99=times[len(times) * 99 // 100])
