"""A service in this process, and clients for it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.networks import build_network, describe_network
from sparkweave.serving.access import Access
from sparkweave.serving.limits import Limits
from sparkweave.serving.model import ServedModel
from sparkweave.serving.server import Address, Server, listen
from sparkweave.serving.service import Service

LABELS = ("0", "1", "2")
WAIT_SECONDS = 60.0
BOUNDARY = "a-boundary"


def make_artifact(seed: int = 0, *, evaluation: Mapping[str, Any] | None = None, **config: Any) -> ModelArtifact:
    torch.manual_seed(seed)
    network = describe_network("lenet")
    known = {"network": network, "input_shape": [1, 28, 28], "labels": list(LABELS)}
    preprocessing = {"mean": [0.3], "deviation": [0.25]}
    built = build_network(network, input_shape=(1, 28, 28), classes=len(LABELS), allow_code=False)
    return ModelArtifact(
        config={**known, "preprocessing": preprocessing, **config}, weights=built.state_dict(), evaluation=evaluation
    )


def make_model(seed: int = 0, *, version: str = "000001", **config: Any) -> ServedModel:
    return ServedModel.of(make_artifact(seed, **config), name="digits", version=version)


def make_pixels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (28, 28, 1), np.uint8)


def make_png(seed: int = 0) -> bytes:
    return cv2.imencode(".png", make_pixels(seed))[1].tobytes()


def multipart(images: Sequence[bytes]) -> tuple[bytes, dict[str, str]]:
    """A body and its headers."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'.encode()
    body = b"".join(head + image + b"\r\n" for image in images) + f"--{BOUNDARY}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


class Reply:
    """A status, headers and a body."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status = answer.status
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        self.body = answer.read()

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        assert self.document.keys() == {"error"}
        return str(self.document["error"])


class Client:
    """One connection, kept."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        """Sends ``body`` as it is if it is bytes, else as JSON."""
        sent = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        self._connection.request(method, path, body, sent)
        return Reply(self._connection.getresponse())

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def running(service: Service, *, token: str | None = None) -> Iterator[int]:
    """The port of a service that runs until the end of the context."""
    listener = listen(Address(host="127.0.0.1", port=0), token)
    started = threading.Event()
    server = Server(service, Access(token), started=started.set)
    thread = threading.Thread(target=server.run, args=([listener],))
    port = listener.getsockname()[1]
    thread.start()
    try:
        assert started.wait(WAIT_SECONDS)
        yield port
    finally:
        server.end()
        thread.join(WAIT_SECONDS)
        listener.close()
    assert not thread.is_alive()
    assert service.batcher.waiting == 0
    assert service.bodies.held == 0


@contextlib.contextmanager
def asking(service: Service, *, token: str | None = None) -> Iterator[Client]:
    """A client of a running service."""
    with running(service, token=token) as port:
        client = Client(port)
        try:
            yield client
        finally:
            client.close()


def raw(port: int) -> socket.socket:
    """A socket to write to by hand."""
    return socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS)


def until_closed(client: socket.socket) -> bytes:
    """All that the server sends before it closes the connection."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65536):
            received += piece
    return received


def make_service(limits: Limits | None = None, **config: Any) -> Service:
    return Service("digits", limits=limits, model=make_model(**config))
