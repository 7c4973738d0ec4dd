"""Few bytes that ask for much decoding: bounded for a request and for all together, and given up when the client leaves."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from tests.unit.serving.serving import WAIT_SECONDS, Client, Reply, asking, make_service, multipart, raw, running

from sparkweave.data.archive import ArchiveLimits
from sparkweave.serving.inputs import Inputs
from sparkweave.serving.limits import Limits
from sparkweave.serving.service import Service

PNG = {"Content-Type": "image/png"}
SIDE = 400
PIXELS = SIDE * SIDE


def make_large(side: int = SIDE) -> bytes:
    """A PNG of a few hundred bytes."""
    return cv2.imencode(".png", np.zeros((side, side, 1), np.uint8))[1].tobytes()


class Held:
    """Inputs that wait before each image until they are let go."""

    def __init__(self, inner: Inputs) -> None:
        self.inner = inner
        self.entered, self.go = threading.Event(), threading.Event()
        self.begun = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def from_files(self, files: list[bytes], *, max_pixels: int, before_each: Any = lambda: None) -> Any:
        def wait() -> None:
            self.entered.set()
            assert self.go.wait(WAIT_SECONDS)
            before_each()
            self.begun += 1

        return self.inner.from_files(files, max_pixels=max_pixels, before_each=wait)


def hold(service: Service) -> Held:
    assert service.model is not None
    held = Held(service.model.inputs)
    service.model = dataclasses.replace(service.model, inputs=held)
    return held


@contextlib.contextmanager
def clients(port: int, count: int, body: bytes) -> Iterator[list[Reply]]:
    """Replies to ``count`` clients that ask at the same time, all of them there at the end."""
    replies: list[Reply] = []

    def ask() -> None:
        with contextlib.closing(Client(port)) as client:
            replies.append(client.ask("POST", "/predict", body, PNG))

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield replies
    finally:
        for thread in threads:
            thread.join(WAIT_SECONDS)


def until(holds: Any) -> None:
    for _ in range(int(WAIT_SECONDS * 100)):
        if holds():
            return
        threading.Event().wait(0.01)
    raise AssertionError("waited in vain")


def test_the_pixels_of_a_request_are_bounded() -> None:
    service = make_service(Limits(request_pixels=3 * PIXELS))
    with asking(service) as client:
        assert client.ask("POST", "/predict", *multipart([make_large()] * 3)).status == 200
        reply = client.ask("POST", "/predict", *multipart([make_large()] * 4))
    assert reply.status == 413
    assert (
        "images (4) ask for 640,000 pixels to be decoded; at most 480,000 are taken at once: send fewer" in reply.error
    )


def test_photos_are_taken_that_are_taken_elsewhere() -> None:
    assert Limits().pixels == ArchiveLimits().max_pixels
    assert Limits().request_pixels >= 2 * Limits().pixels
    photo = cv2.imencode(".jpg", np.zeros((6000, 8000, 3), np.uint8))[1].tobytes()
    with asking(make_service()) as client:
        assert client.ask("POST", "/predict", photo, {"Content-Type": "image/jpeg"}).status == 200


def test_small_bodies_of_many_pixels_are_refused_at_once() -> None:
    with asking(make_service()) as client:
        reply = client.ask("POST", "/predict", *multipart([make_large(4096)] * 200))
    assert reply.status == 413


def test_the_pixels_of_all_requests_are_bounded() -> None:
    service = make_service(Limits(request_pixels=PIXELS, decoding_pixels=3 * PIXELS))
    held = hold(service)
    with running(service) as port, contextlib.ExitStack() as stack:
        replies = stack.enter_context(clients(port, 5, make_large()))
        stack.callback(held.go.set)
        until(lambda: len(replies) == 2)
        assert {reply.status for reply in replies} == {503}
        assert all(int(reply.headers["retry-after"]) >= 1 for reply in replies)
        assert "480,000 pixels wait to be decoded already, of at most 480,000; try again later" in replies[0].error
        with contextlib.closing(Client(port)) as watching:
            assert watching.ask("GET", "/v2/health/live").status == 200, "others are answered"
            assert b"sparkweave_decoding_pixels 480000.0" in watching.ask("GET", "/metrics").body
        held.go.set()
        until(lambda: len(replies) == 5)
    assert [reply.status for reply in replies].count(200) == 3
    assert service.decoders.pixels == 0


def test_one_request_is_taken_even_if_it_is_over_the_bound_of_all() -> None:
    with asking(make_service(Limits(decoding_pixels=1))) as client:
        assert client.ask("POST", "/predict", make_large(), PNG).status == 200


def test_a_refused_image_leaves_nothing_counted() -> None:
    service = make_service()
    broken = bytearray(make_large())
    broken[60] ^= 0xFF
    with asking(service) as client:
        assert client.ask("POST", "/predict", *multipart([make_large(), bytes(broken)[:40]])).status == 422
    assert service.decoders.pixels == 0


def test_a_request_waits_for_no_decoder_to_be_parsed() -> None:
    service = make_service()
    held = hold(service)
    rows = {"images": np.zeros((30, 28, 28), int).tolist()}
    with running(service) as port, contextlib.ExitStack() as stack:
        stack.enter_context(clients(port, 4, make_large()))
        stack.callback(held.go.set)
        assert held.entered.wait(WAIT_SECONDS)
        with contextlib.closing(Client(port)) as client:
            assert client.ask("POST", "/predict", rows).status == 200


def test_what_is_left_is_not_decoded_for_a_client_that_has_gone() -> None:
    service = make_service()
    held = hold(service)
    body, headers = multipart([make_large()] * 50)
    with running(service) as port, contextlib.ExitStack() as stack:
        stack.callback(held.go.set)
        client = raw(port)
        head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {headers['Content-Type']}\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        assert held.entered.wait(WAIT_SECONDS)
        client.close()
        with contextlib.closing(Client(port)) as watching:
            watching.ask("GET", "/ping")  # after the other's end was seen
            held.go.set()
            until(lambda: service.decoders.pixels == 0)
            assert b'status="499"' in watching.ask("GET", "/metrics").body
    assert held.begun == 0
