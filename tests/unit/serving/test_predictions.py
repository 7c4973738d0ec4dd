"""`POST /predict`, by a real server: the same predictions as the predictor's, whatever form they are asked in."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.unit.serving.serving import LABELS, Client, asking, make_pixels, make_png, make_service, multipart

from sparkweave.serving.limits import Limits
from sparkweave.serving.service import Service

PNG = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def service() -> Service:
    limits = Limits(images=20, body_bytes=200_000, json_brackets=20_000)
    return make_service(limits, class_names={"0": "zero <b>"})


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[Client]:
    with asking(service) as client:
        yield client


def expected(service: Service, *seeds: int) -> np.ndarray:
    assert service.model is not None
    return service.model.predictor(np.stack([make_pixels(seed) for seed in seeds]))


def probabilities(document: dict[str, Any]) -> np.ndarray:
    return np.array([one["probabilities"] for one in document["predictions"]], np.float32)


def test_one_image_as_a_file(client: Client, service: Service) -> None:
    reply = client.ask("POST", "/predict", make_png(1), PNG)
    assert reply.status == 200
    document = reply.document
    assert np.array_equal(probabilities(document), expected(service, 1)), "the same bits"
    best = int(expected(service, 1).argmax())
    prediction = document["predictions"][0]
    assert prediction["label"] == LABELS[best]
    assert prediction["probability"] == max(prediction["probabilities"])
    assert document["labels"] == list(LABELS)
    assert document["class_names"] == ["zero <b>", "1", "2"]
    assert (document["model"], document["version"]) == ("digits", "000001")
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "server" not in reply.headers


def as_text(seed: int) -> str:
    return base64.b64encode(make_png(seed)).decode()


@pytest.mark.parametrize(
    "body",
    [
        {"images": [as_text(seed) for seed in range(3)]},
        {"images": ["data:image/png;base64," + as_text(seed) for seed in range(3)]},
        {"images": [make_pixels(seed).tolist() for seed in range(3)]},
        {"images": [make_pixels(seed)[..., 0].tolist() for seed in range(3)]},
        {"images": [make_pixels(seed).ravel().tolist() for seed in range(3)]},
    ],
    ids=["base64", "data URLs", "pixels", "gray pixels", "flat pixels"],
)
def test_many_images_as_json(client: Client, service: Service, body: Any) -> None:
    reply = client.ask("POST", "/predict", body)
    assert reply.status == 200, reply.body
    assert np.array_equal(probabilities(reply.document), expected(service, 0, 1, 2))


def test_one_image_as_json(client: Client, service: Service) -> None:
    for value in (as_text(5), make_pixels(5).tolist()):
        reply = client.ask("POST", "/predict", {"image": value})
        assert np.array_equal(probabilities(reply.document), expected(service, 5))


def test_many_images_as_files_keep_their_order(client: Client, service: Service) -> None:
    seeds = (3, 1, 4, 1, 5)
    body, headers = multipart([make_png(seed) for seed in seeds])
    reply = client.ask("POST", "/predict", body, headers)
    assert np.array_equal(probabilities(reply.document), expected(service, *seeds))


def test_a_body_that_takes_long_to_decode_is_answered_alike(client: Client, service: Service) -> None:
    body = {"images": [make_pixels(seed).tolist() for seed in range(20)]}
    reply = client.ask("POST", "/predict", body)
    assert int(reply.headers["content-length"]) > 0
    assert np.array_equal(probabilities(reply.document), expected(service, *range(20)))


BAD = {
    "no type": (b"x", {}, 415, "the Content-Type is ''; send multipart/form-data"),
    "a type of no use": (b"x", {"Content-Type": "text/html"}, 415, "'text/html'; send multipart"),
    "nothing": (b"", PNG, 400, "the request has no images; send at least one"),
    "no image": (b"GIF89a.....", PNG, 422, r"image 1 of 1: it starts with .*only PNG and JPEG"),
    "half an image": (make_png()[:100], PNG, 422, "the image is truncated"),
    "no boundary": (b"x", {"Content-Type": "multipart/form-data"}, 400, "names no boundary"),
    "cut": (multipart([make_png()])[0][:-9], multipart([])[1], 400, "does not end with its boundary"),
    "too many": (*multipart([make_png()] * 21), 413, "more than 20 parts"),
    "too many as JSON": ({"images": [as_text(0)] * 21}, {}, 413, "has 21 images; at most 20"),
    "not JSON": (b"{", {"Content-Type": "application/json"}, 400, "the body is not JSON"),
    "no object": ([1], {}, 400, "the body is a list; send one JSON object"),
    "another key": ({"pictures": []}, {}, 400, r'the JSON has the keys pictures; send {"image": ...}'),
    "no list": ({"images": 5}, {}, 400, "where a list of images belongs is 5"),
    "no images": ({"images": []}, {}, 400, "the request has no images"),
    "mixed": ({"images": ["aa", [1]]}, {}, 400, "mixes texts with numbers"),
    "not base64": ({"image": "?"}, {}, 400, "is not base64"),
    "wrong shape": (
        {"image": [[1, 2], [3, 4]]},
        {},
        400,
        r"the shape \[1, 2, 2\]; the model takes \[rows, 28, 28, 1\]",
    ),
    "ragged": ({"images": [[1, 2], [3]]}, {}, 400, "differ in length"),
    "not numbers": ({"images": [[True]]}, {}, 400, "something other than numbers"),
    "objects": ({"images": [{}]}, {}, 400, "something other than numbers"),
    "half a pixel": ({"image": [[0.5] * 28] * 28}, {}, 400, "a pixel is not a whole number"),
    "too bright": ({"image": [[256] * 28] * 28}, {}, 400, "pixels reach from 256 to 256; give whole numbers"),
    "a very large number": (b'{"image": [[1' + b"0" * 400 + b"]]}", {"Content-Type": "application/json"}, 400, ""),
    "not a number": (b'{"image": [[NaN]]}', {"Content-Type": "application/json"}, 400, "NaN is no JSON number"),
    "deep": (b'{"image": ' + b"[" * 5000 + b"]" * 5000 + b"}", {"Content-Type": "application/json"}, 400, "too deep"),
    "brackets": (
        b'{"image": [' + b"[]," * 30_000 + b"[]]}",
        {"Content-Type": "application/json"},
        413,
        "at most 20,000",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_can_t_be_predicted_is_refused_with_the_reason(client: Client, case: str) -> None:
    body, headers, status, message = BAD[case]
    reply = client.ask("POST", "/predict", body, dict(headers))
    assert reply.status == status, reply.body
    assert __import__("re").search(message, reply.error), reply.error
    assert "Traceback" not in reply.error
    assert len(reply.error) < 500


def test_an_image_of_very_many_pixels_is_refused_before_it_is_decoded(client: Client) -> None:
    from sparkweave.testing.archives import image_bomb

    reply = client.ask("POST", "/predict", image_bomb(), PNG)
    assert reply.status == 422
    assert "are decoded" in reply.error


def test_a_larger_image_is_resized(client: Client) -> None:
    import cv2

    large = cv2.imencode(".png", np.zeros((600, 500, 3), np.uint8))[1].tobytes()
    assert client.ask("POST", "/predict", large, PNG).status == 200


def test_a_failure_of_ours_shows_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    service = make_service()
    assert service.model is not None
    service.model.predictor.__dict__["network"] = None  # which nobody can call
    with asking(service) as client:
        reply = client.ask("POST", "/predict", make_png(), PNG)
    assert reply.status == 500
    assert reply.error == "the service failed to answer; its log says why"
    assert "NoneType" in caplog.text, "the log has it"


def test_an_output_that_is_not_finite_fails_its_own_request() -> None:
    import torch

    service = make_service()
    assert service.model is not None
    for parameter in service.model.predictor.network.parameters():
        torch.nn.init.constant_(parameter, float("nan"))
    with asking(service) as client:
        reply = client.ask("POST", "/predict", make_png(), PNG)
    assert reply.status == 500
    assert "not finite" in reply.error
