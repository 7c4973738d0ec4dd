"""The server: a socket, uvicorn with bounded connections, and an end that answers what was taken in."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import os
import socket
from collections.abc import Callable

import uvicorn

from sparkweave.errors import ConfigError
from sparkweave.serving.access import Access, check_exposure
from sparkweave.serving.app import build_app
from sparkweave.serving.connections import connection_class, watch
from sparkweave.serving.service import Service

_BACKLOG = 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class Address:
    """Where the service listens."""

    host: str
    port: int


class Server(uvicorn.Server):
    """uvicorn's server with a look at its connections; it runs in any thread, and leaves signals alone."""

    def __init__(self, service: Service, access: Access, *, started: Callable[[], None] = lambda: None) -> None:
        """Listens to nothing yet.

        Args:
            service: What is served.
            access: Who may ask.
            started: Called once requests are answered.
        """
        limits = service.limits
        super().__init__(
            uvicorn.Config(
                build_app(service, access),
                http=connection_class(limits),
                ws="none",
                loop="auto",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=limits.idle_seconds,
                timeout_graceful_shutdown=limits.drain_seconds,
            )
        )
        self._service = service
        self._told = started

    async def main_loop(self) -> None:
        """Until it is asked to end."""
        connections = self.server_state.connections
        self._service.metrics.connections.set_function(lambda: len(connections))
        watching = asyncio.create_task(watch(connections))
        # A full collection walks over all that torch brings, 0.1 s in which nobody is answered; none of that is garbage.
        gc.collect()
        gc.freeze()
        self._told()
        try:
            await super().main_loop()
        finally:
            self._watching = watching

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends with an answer for all that was taken in."""
        try:
            await super().shutdown(sockets)
        finally:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching

    def end(self) -> None:
        """Asks it to end, from any thread."""
        self.should_exit = True


def listen(address: Address, token: str | None) -> socket.socket:
    """A listening socket.

    Raises:
        ConfigError: if the host is unknown, the port is taken, or strangers could reach it without a token.
    """
    host, port = address.host, address.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"--host {host!r:.80} is not known here ({error}); give an address of this machine"
        ) from error
    family, _, _, _, where = found[0]
    check_exposure(host, [str(where[0])], token)
    try:
        return socket.create_server(where[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigError(f"--host {host} --port {port}: {reason}; choose another port with --port") from error


def url_of(listener: socket.socket) -> str:
    """The URL that a listening socket is reached at."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
