"""One request and its answer, around the function that makes it: access, errors, counts, and the headers that every answer has."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from sparkweave.serving.access import Access
from sparkweave.serving.body import ClientGone, declared_length, drain
from sparkweave.serving.documents import to_json
from sparkweave.serving.metrics import Metrics
from sparkweave.serving.refusal import Refusal, error_document

JSON = b"application/json"
_LOG = logging.getLogger("sparkweave.serving")
_LINGER_SECONDS = 2.0
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_FAILED = "the service failed to answer; its log says why"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What goes to the client."""

    body: bytes
    content_type: bytes = JSON
    status: int = 200
    headers: Sequence[tuple[bytes, bytes]] = ()

    @classmethod
    def json(cls, document: Any, *, status: int = 200) -> Answer:
        """With a JSON document."""
        return cls(to_json(document), status=status)


class Call:
    """A request.

    Attributes:
        scope: ASGI's.
        unread: Whether a part of its body is still to come.
    """

    __slots__ = ("_receive", "scope", "unread")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self._receive = receive
        self.unread = bool(declared_length(scope)) or bool(self.header(b"transfer-encoding"))

    def header(self, name: bytes) -> str:
        """A header's value, or an empty text."""
        return next((value for found, value in self.scope["headers"] if found == name), b"").decode("latin-1")

    async def receive(self) -> Message:
        """ASGI's next message."""
        message = await self._receive()
        if not message.get("more_body", False):
            self.unread = False
        return message


Respond = Callable[[Call], Awaitable[Answer]]


class Endpoint:
    """An ASGI application for one route."""

    def __init__(
        self, route: str, respond: Respond, *, access: Access, metrics: Metrics, is_open: bool = False
    ) -> None:
        """Wraps ``respond``.

        Args:
            route: What it is called in the metrics.
            respond: Makes the answer.
            access: The rule that holds before.
            metrics: Where it is counted.
            is_open: Whether it answers without a token too.
        """
        self._route = route
        self._respond = respond
        self._access = access
        self._is_open = is_open
        self._seconds = metrics.seconds.labels(route)
        self._requests = metrics.requests
        self._counters: dict[int, Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        began = time.perf_counter()
        call = Call(scope, receive)
        try:
            answer = await self._answer(call)
        except ClientGone:
            self._count(499)
            return
        await send_answer(answer, call, send)
        self._seconds.observe(time.perf_counter() - began)
        self._count(answer.status)

    async def _answer(self, call: Call) -> Answer:
        try:
            self._access.check_host(call.scope["headers"])
            if not self._is_open:
                self._access.check_token(call.scope["headers"])
            return await self._respond(call)
        except Refusal as refusal:
            return refused(refusal)
        except ClientGone:
            raise
        except Exception:  # noqa: BLE001 - a client sees no traceback, the log does
            _LOG.exception("%s failed", self._route)
            return refused(Refusal(500, _FAILED))

    def _count(self, status: int) -> None:
        counter = self._counters.get(status)
        if counter is None:
            counter = self._counters[status] = self._requests.labels(self._route, str(status))
        counter.inc()


def refused(refusal: Refusal) -> Answer:
    """A refusal as an answer."""
    headers = [(name.encode(), value.encode("latin-1")) for name, value in refusal.headers.items()]
    return Answer(error_document(str(refusal)), status=refusal.status, headers=headers)


async def send_answer(answer: Answer, call: Call, send: Send) -> None:
    """Sends an answer; where a part of the request is still to come, the connection ends, but not before the answer is read."""
    closing = [(b"connection", b"close")] if call.unread else []
    own = [(b"content-type", answer.content_type), (b"content-length", b"%d" % len(answer.body))]
    headers = [*own, *_HEADERS, *answer.headers, *closing]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": call.unread})
    if call.unread:
        await drain(call.receive, _LINGER_SECONDS)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
