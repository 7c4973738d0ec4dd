"""More than can be predicted: what is over the bound is told to come back, what was taken in is answered."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import numpy as np
from tests.unit.serving.serving import Client, Reply, make_png, make_service, multipart, running

from sparkweave.serving.limits import Limits


class Held:
    """A predictor that waits until it is let go."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.entered, self.go = threading.Event(), threading.Event()

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        self.entered.set()
        assert self.go.wait(60)
        return self.inner(rows)


def test_beyond_the_queue_clients_are_told_to_come_back() -> None:
    import dataclasses

    service = make_service(Limits(queue_images=10, batch_images=4, images=10))
    assert service.model is not None
    held = Held(service.model.predictor)
    service.model = dataclasses.replace(service.model, predictor=held)
    replies: list[Reply] = []
    body, headers = multipart([make_png()] * 2)

    def ask(port: int) -> None:
        client = Client(port)
        replies.append(client.ask("POST", "/predict", body, headers))
        client.close()

    with running(service) as port, contextlib.ExitStack() as stack:
        clients = [threading.Thread(target=ask, args=(port,)) for _ in range(12)]
        stack.callback(held.go.set)
        for client in clients:
            client.start()
        while len(replies) < 7:  # twelve clients with two images, of which five have their place
            threading.Event().wait(0.01)
        assert {reply.status for reply in replies} == {503}
        assert all(int(reply.headers["retry-after"]) >= 1 for reply in replies)
        assert "10 images wait already, of at most 10; try again later" in replies[0].error
        watching = Client(port)
        assert watching.ask("GET", "/v2/health/live").status == 200, "others are answered"
        assert b"sparkweave_waiting_images 10.0" in watching.ask("GET", "/metrics").body
        watching.close()
        held.go.set()
        for client in clients:
            client.join()
    assert [reply.status for reply in replies].count(200) == 5


def test_what_was_accepted_is_answered_when_the_service_ends() -> None:
    import dataclasses

    service = make_service()
    assert service.model is not None
    held = Held(service.model.predictor)
    service.model = dataclasses.replace(service.model, predictor=held)
    replies: list[Reply] = []

    def ask(port: int) -> None:
        client = Client(port)
        replies.append(client.ask("POST", "/predict", make_png(), {"Content-Type": "image/png"}))
        client.close()

    with running(service) as port:
        client = threading.Thread(target=ask, args=(port,))
        client.start()
        assert held.entered.wait(60)
        threading.Timer(0.5, held.go.set).start()
    client.join()
    assert [reply.status for reply in replies] == [200]
