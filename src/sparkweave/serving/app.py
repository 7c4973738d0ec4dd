"""The routes, as one Starlette application."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sparkweave.serving import mlflow_scoring, open_inference, pages
from sparkweave.serving.access import Access
from sparkweave.serving.calls import JSON, Answer, Call, Endpoint
from sparkweave.serving.metrics import CONTENT_TYPE
from sparkweave.serving.predictions import predict
from sparkweave.serving.refusal import error_document
from sparkweave.serving.service import Service

Respond = Callable[[Service, Call], Awaitable[Answer]]
_MODEL = "/v2/models/{name}"
_VERSION = _MODEL + "/versions/{version}"


async def metrics(service: Service, _call: Call) -> Answer:
    """For Prometheus."""
    known, watcher = service.metrics, service.watcher
    known.waiting.set(service.batcher.waiting)
    known.decoding.set(service.decoders.pixels)
    known.bodies.set(service.bodies.held)
    known.refused.set(len(watcher.refused) if watcher else 0)
    known.reachable.set(0 if watcher and watcher.unreachable else 1)
    return Answer(known.text(), content_type=CONTENT_TYPE.encode())


POSTS: dict[str, Respond] = {
    "/predict": predict,
    "/invocations": mlflow_scoring.invocations,
    f"{_MODEL}/infer": open_inference.infer,
    f"{_VERSION}/infer": open_inference.infer,
}
GETS: dict[str, Respond] = {
    "/card": pages.card,
    "/metrics": metrics,
    "/version": mlflow_scoring.version,
    "/v2": open_inference.server_metadata,
    _MODEL: open_inference.model_metadata,
    f"{_MODEL}/ready": open_inference.model_ready,
    _VERSION: open_inference.model_metadata,
    f"{_VERSION}/ready": open_inference.model_ready,
}
OPEN_GETS: dict[str, Respond] = {
    "/": functools.partial(pages.file, "index.html"),
    "/page.js": functools.partial(pages.file, "page.js"),
    "/page.css": functools.partial(pages.file, "page.css"),
    "/ping": mlflow_scoring.ping,
    "/health": mlflow_scoring.ping,
    "/v2/health/live": open_inference.live,
    "/v2/health/ready": open_inference.ready,
}
"""What has no data in it, and is answered without a token: for load balancers, and for the page's place to type it in."""


def build_app(service: Service, access: Access) -> Starlette:
    """The application; it starts and stops the service."""

    def route(path: str, respond: Respond, method: str, *, is_open: bool = False) -> Route:
        bound = functools.partial(respond, service)
        endpoint = Endpoint(path, bound, access=access, metrics=service.metrics, is_open=is_open)
        return Route(path, endpoint, methods=[method])

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    routes = [
        *(route(path, respond, "POST") for path, respond in POSTS.items()),
        *(route(path, respond, "GET") for path, respond in GETS.items()),
        *(route(path, respond, "GET", is_open=True) for path, respond in OPEN_GETS.items()),
    ]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _not_routed})


async def _not_routed(request: Request, error: Exception) -> Response:
    """No such path, or not this method."""
    assert isinstance(error, HTTPException)
    known = ", ".join((*POSTS, *GETS))
    message = f"{request.method[:20]} {request.url.path[:80]}: {error.detail}; the paths are {known}"
    headers = {**(error.headers or {}), "connection": "close"}
    return Response(error_document(message), error.status_code, media_type=JSON.decode(), headers=headers)
