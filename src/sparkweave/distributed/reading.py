"""Reading from a socket what a protocol says must come."""

from __future__ import annotations

import socket


def read_whole(connection: socket.socket, count: int) -> bytes:
    """The next ``count`` bytes.

    Raises:
        ConnectionError: if the peer hangs up before.
    """
    content = bytearray()
    while len(content) < count:
        part = connection.recv(count - len(content))
        if not part:
            raise ConnectionError("the peer hung up")
        content += part
    return bytes(content)
