"""Keeping gloo's connections to ports that a firewall lets through.

gloo listens on a port that the system chooses, and has no setting for it (``gloo/transport/tcp``: it binds the interface's address
with port 0). So a worker that is asked to keep to a range of ports listens on one of these itself, and hands what comes there on to
gloo's port in its own process; and what it tells other machines' workers of gloo's address has that port in it. Workers of one
machine connect directly: no firewall is between them, and gloo compares their ports to agree on which of the two calls.

The price is one more copy of what comes and goes on the connections that a worker accepted, in threads of their own.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading

from sparkweave.distributed.exchange import Exchange
from sparkweave.distributed.rendezvous import ExchangeStore
from sparkweave.errors import ResourceError

_BUFFER_BYTES = 1 << 20
_KEY = "sparkweave/forwarded/"


class Forwarder:
    """Hands connections on to the port that gloo listens on.

    Attributes:
        address: This worker's.
        port: Where gloo listens; None until it is known.
    """

    def __init__(self) -> None:
        self.address = ""
        self.port: int | None = None

    def __call__(self, connection: socket.socket, first: bytes) -> None:
        """Takes a connection over, and returns when both its sides have ended.

        Args:
            connection: From another worker's gloo.
            first: What was read from it already.
        """
        with contextlib.suppress(OSError), connection, socket.create_connection((self.address, self.port)) as inner:
            for end in (connection, inner):
                end.settimeout(None)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            inner.sendall(first)
            answers = threading.Thread(target=_pass_on, args=(inner, connection), daemon=True)
            answers.start()
            _pass_on(connection, inner)
            answers.join()


class ForwardedStore(ExchangeStore):
    """An `ExchangeStore` in which other machines' gloo addresses have the ports that are forwarded to these."""

    def __init__(self, exchange: Exchange, forwarder: Forwarder, address: str, port: int) -> None:
        """Exchanges nothing yet.

        Args:
            exchange: The all-gather of strings.
            forwarder: Is told where gloo listens.
            address: This worker's.
            port: Where connections are taken for ``forwarder``.
        """
        super().__init__(exchange)
        self._forwarder = forwarder
        self._address = address
        self._port = port

    def set(self, key: str, value: bytes | str) -> None:
        """See `ExchangeStore.set`."""
        if isinstance(value, bytes) and (found := _find_port(value, self._address)) is not None:
            self._forwarder.address, self._forwarder.port = self._address, found
            super().set(f"{_KEY}{self._address}/{found}", str(self._port))
        super().set(key, value)

    def get(self, key: str) -> bytes:
        """See `ExchangeStore.get`."""
        if self._forwarder.port is None:
            raise ResourceError(
                "where gloo listens is not told as this version knows it; leave --port out with this version of torch"
            )
        value = super().get(key)
        for name, port in self._known.items():
            address, _, behind = name.removeprefix(_KEY).partition("/")
            if name.startswith(_KEY) and address != self._address:
                value = value.replace(_socket_address(address, int(behind)), _socket_address(address, int(port)))
        return value


def _find_port(value: bytes, address: str) -> int | None:
    """The port beside ``address`` in an IPv4 ``sockaddr``, as gloo publishes it in the machine's own layout."""
    family, own = struct.pack("=H", socket.AF_INET), socket.inet_aton(address)
    found = re.search(re.escape(family) + b"(..)" + re.escape(own), value, re.DOTALL)
    return int.from_bytes(found[1], "big") if found else None


def _socket_address(address: str, port: int) -> bytes:
    return struct.pack("=H", socket.AF_INET) + port.to_bytes(2, "big") + socket.inet_aton(address)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    with contextlib.suppress(OSError):
        while count := source.recv_into(buffer):
            sink.sendall(buffer[:count])
    for end, side in ((source, socket.SHUT_RD), (sink, socket.SHUT_WR)):
        with contextlib.suppress(OSError):
            end.shutdown(side)
