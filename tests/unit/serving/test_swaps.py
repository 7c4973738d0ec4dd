"""Clients that never pause while versions come and go: each request is answered, by one whole version."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tests.unit.serving.serving import Client, Reply, make_artifact, make_pixels, make_png, running

from sparkweave.inference.predictor import Predictor
from sparkweave.inference.task import PredictorTask
from sparkweave.serving.limits import Limits
from sparkweave.serving.opening import Source, open_service
from sparkweave.serving.registry import Registry

SWAPS = 10
REQUESTS = 1000
CLIENTS = 4


def expected(seed: int) -> np.ndarray:
    return Predictor(*PredictorTask.of(make_artifact(seed)))(make_pixels()[None])[0]


def wait(until: Callable[[], bool], clients: list[threading.Thread]) -> None:
    while not until():
        assert all(client.is_alive() for client in clients)
        threading.Event().wait(0.005)


def test_a_thousand_requests_during_ten_swaps_are_all_answered(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "digits"))
    registry.publish(make_artifact(0))
    service = open_service(Source(url=str(tmp_path / "digits"), poll_seconds=0.01), Limits(batch_images=8))
    replies: list[Reply] = []
    swapped = threading.Event()

    def ask(port: int) -> None:
        client = Client(port)
        # As many as are asked for, and on until the last version has come.
        while len(replies) < REQUESTS or not swapped.is_set():
            replies.append(client.ask("POST", "/predict", make_png(), {"Content-Type": "image/png"}))
        client.close()

    with running(service) as port:
        clients = [threading.Thread(target=ask, args=(port,)) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        for seed in range(1, SWAPS + 1):
            version = registry.publish(make_artifact(seed))
            wait(lambda name=version.name: service.model is not None and service.model.version == name, clients)
            # What is under way is the old one's.
            enough = len(replies) + 5 * CLIENTS
            wait(lambda enough=enough: len(replies) >= enough, clients)
        swapped.set()
        for client in clients:
            client.join()
    assert len(replies) >= REQUESTS
    assert {reply.status for reply in replies} == {200}
    versions = [f"{number:06}" for number in range(1, SWAPS + 2)]
    rows = {version: expected(seed) for seed, version in enumerate(versions)}
    assert {reply.document["version"] for reply in replies} == set(versions), "all of them were served"
    for reply in replies:
        document = reply.document
        row = np.array(document["predictions"][0]["probabilities"], np.float32)
        assert np.array_equal(row, rows[document["version"]]), "by the version that it names, to the bit"


def test_a_corrupt_version_amid_requests_changes_nothing(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "digits"))
    registry.publish(make_artifact(0))
    service = open_service(Source(url=str(tmp_path / "digits"), poll_seconds=0.01), Limits(batch_images=8))
    with running(service) as port:
        client = Client(port)
        (tmp_path / "digits" / "000002.zip").write_bytes(b"half a mod")
        while not (card := client.ask("GET", "/card").document)["refused"]:
            reply = client.ask("POST", "/predict", make_png(), {"Content-Type": "image/png"})
            assert (reply.status, reply.document["version"]) == (200, "000001")
        assert list(card["refused"]) == ["000002"]
        assert card["served"]["version"] == "000001"
        assert b"sparkweave_refused_versions 1.0" in client.ask("GET", "/metrics").body
        client.close()
