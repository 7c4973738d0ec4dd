"""Connections of strangers: how many, how long they may take to say something, and to listen.

uvicorn bounds how long a silent connection is kept after a request, and nothing else: a client that never sends its headers, sends them
byte by byte, or does not take its answer would be kept for ever. So each connection notes since when it waits, and one task looks at all.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sparkweave.serving.limits import Limits
from sparkweave.serving.refusal import error_document

_REASONS = {408: b"Request Timeout", 431: b"Request Header Fields Too Large", 503: b"Service Unavailable"}
LOOK_SECONDS = 0.5


class Connection(HttpToolsProtocol):
    """One connection; `connection_class` gives it its limits."""

    limits: Limits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuses one too many at once."""
        super().connection_made(transport)
        self._since: float | None = self.loop.time()
        self._stuck: float | None = None
        self._silent_bytes = 0
        if len(self.connections) > self.limits.connections:
            self._refuse(503, f"there are {self.limits.connections:,} connections already; try again later")

    def data_received(self, data: bytes) -> None:
        """Counts what is neither body nor a whole request's headers: headers, trailers, chunks' extensions."""
        if self.transport.is_closing():
            return
        self._silent_bytes += len(data)
        if self._since is None and self._is_between_requests():
            self._since = self.loop.time()
        super().data_received(data)
        if self._silent_bytes > self.limits.header_bytes and not self.transport.is_closing():
            self._refuse(431, f"the headers are longer than {self.limits.header_bytes:,} bytes; send fewer")

    def on_headers_complete(self) -> None:
        """The time for headers is over."""
        self._since = None
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a body arrived."""
        self._silent_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._since = None
        self._silent_bytes = 0
        super().on_message_complete()

    def look(self, now: float) -> None:
        """Ends the connection if it waited too long."""
        if self.transport.get_write_buffer_size() > 0:
            self._stuck = now if self._stuck is None else self._stuck
            if now - self._stuck > self.limits.send_seconds:
                self.transport.abort()
            return
        self._stuck = None
        if self._since is not None and now - self._since > self.limits.header_seconds:
            self._refuse(408, f"the headers did not arrive within {self.limits.header_seconds:g} s; send them faster")

    def _is_between_requests(self) -> bool:
        cycle: Any = self.cycle  # None before the first request
        return cycle is None or bool(cycle.response_complete)

    def _refuse(self, status: int, message: str) -> None:
        """Answers, if nothing is being answered yet, and closes."""
        self._since = None
        if self._is_between_requests():
            body = error_document(message)
            head = b"HTTP/1.1 %d %s\r\n" % (status, _REASONS[status])
            fields = b"content-type: application/json\r\ncontent-length: %d\r\nretry-after: 1\r\n" % len(body)
            self.transport.write(head + fields + b"connection: close\r\n\r\n" + body)
        self.transport.close()


def connection_class(limits: Limits) -> type[Connection]:
    """A `Connection` with these limits; uvicorn makes them itself."""
    return type("Connection", (Connection,), {"limits": limits})


async def watch(connections: set[Any]) -> None:
    """Looks at all connections twice a second, until it is cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = loop.time()
        for connection in list(connections):
            connection.look(now)
