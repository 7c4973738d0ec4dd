"""Receiving a request's body: bounded in bytes, alone and with all others, and in time, while it arrives."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.types import Receive, Scope

from sparkweave.serving.limits import Limits
from sparkweave.serving.refusal import Refusal


class ClientGone(Exception):
    """The client closed the connection; nobody waits for an answer."""


class Bodies:
    """All bodies that are held now.

    Attributes:
        held: Their bytes.
    """

    def __init__(self, limits: Limits) -> None:
        self.held = 0
        self._limits = limits

    @contextlib.asynccontextmanager
    async def receive(self, scope: Scope, receive: Receive) -> AsyncIterator[bytes]:
        """The body of a request; its bytes count as held within the context.

        Raises:
            Refusal: if it is too long (413), too slow (408), or too much is held already (503).
            ClientGone: if the client left.
        """
        declared = declared_length(scope)
        if declared > self._limits.body_bytes:
            raise self._too_long(f"{declared:,} bytes")
        pieces: list[bytes] = []
        size = 0
        try:
            try:
                async with asyncio.timeout(self._limits.receipt_seconds):
                    more = True
                    while more:
                        piece, more = await next_piece(receive)
                        size += len(piece)
                        self.held += len(piece)
                        self._check(size)
                        pieces.append(piece)
            except TimeoutError as error:
                raise Refusal(
                    408, f"the body did not arrive within {self._limits.receipt_seconds:g} s; send it faster, or less"
                ) from error
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            yield body
        finally:
            self.held -= size

    def _check(self, size: int) -> None:
        if size > self._limits.body_bytes:
            raise self._too_long(f"more than {self._limits.body_bytes:,} bytes")
        if self.held > self._limits.bodies_bytes:
            raise Refusal(
                503,
                f"all requests together hold more than {self._limits.bodies_bytes:,} bytes; try again later",
                retry_seconds=1,
            )

    def _too_long(self, what: str) -> Refusal:
        return Refusal(
            413, f"the body has {what}; at most {self._limits.body_bytes:,} are taken: send fewer or smaller images"
        )


async def drain(receive: Receive, seconds: float) -> None:
    """Takes and drops what a refused client still sends, for so long: else it would see a reset instead of the answer."""
    with contextlib.suppress(TimeoutError, ClientGone):
        async with asyncio.timeout(seconds):
            while (await next_piece(receive))[1]:
                pass


async def departure(receive: Receive) -> None:
    """Ends when the client has left; to be called once the body is whole."""
    with contextlib.suppress(ClientGone):
        while True:
            await next_piece(receive)


def declared_length(scope: Scope) -> int:
    """What Content-Length says; 0 where it is not given."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) < 20 else 0
    return 0


async def next_piece(receive: Receive) -> tuple[bytes, bool]:
    """A piece of a body, and whether there is more of it.

    Raises:
        ClientGone: if the client left.
    """
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message.get("body", b""), message.get("more_body", False)
