"""The Open Inference Protocol, MLflow's, Prometheus's, and what all paths have in common."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.serving.serving import LABELS, Client, asking, make_pixels, make_png, make_service

from sparkweave._version import __version__
from sparkweave.serving.inputs import inputs_of, outputs_of
from sparkweave.serving.service import Service

TOKEN = "correct-horse-battery-staple"
PIXELS = np.stack([make_pixels(seed) for seed in range(2)])
TENSOR = {"name": "image", "datatype": "UINT8", "shape": [2, 28, 28, 1], "data": PIXELS.ravel().tolist()}


@pytest.fixture(scope="module")
def service() -> Service:
    return make_service()


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[Client]:
    with asking(service) as client:
        yield client


def expected(service: Service) -> np.ndarray:
    assert service.model is not None
    return service.model.predictor(PIXELS)


def labels_of(rows: np.ndarray) -> list[str]:
    return [LABELS[index] for index in rows.argmax(axis=1)]


class TestOpenInference:
    def test_health(self, client: Client) -> None:
        assert client.ask("GET", "/v2/health/live").document == {"live": True}
        assert client.ask("GET", "/v2/health/ready").document == {"ready": True}
        assert client.ask("HEAD", "/v2/health/ready").status == 200

    def test_not_ready_without_a_version(self) -> None:
        with asking(Service("digits")) as client:
            assert client.ask("GET", "/v2/health/live").status == 200
            assert client.ask("GET", "/v2/health/ready").status == 503
            assert client.ask("GET", "/ping").status == 503
            reply = client.ask("POST", "/predict", make_png(), {"Content-Type": "image/png"})
            assert (reply.status, reply.headers["retry-after"]) == (503, "5")
            assert client.ask("GET", "/card").document["served"] is None

    def test_metadata(self, client: Client) -> None:
        assert client.ask("GET", "/v2").document == {"name": "sparkweave", "version": __version__, "extensions": []}
        for path in ("/v2/models/digits", "/v2/models/digits/versions/000001"):
            document = client.ask("GET", path).document
            assert document["versions"] == ["000001"]
            assert document["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 28, 28, 1]}]
            assert [output["name"] for output in document["outputs"]] == ["probabilities", "label"]
            assert client.ask("GET", f"{path}/ready").document == {"name": "digits", "ready": True}

    @pytest.mark.parametrize("path", ["/v2/models/digits", "/v2/models/digits/versions/000001"])
    @pytest.mark.parametrize("form", ["flat", "nested", "bytes"])
    def test_inference(self, client: Client, service: Service, path: str, form: str) -> None:
        tensor: dict[str, Any] = dict(TENSOR)
        if form == "nested":
            tensor["data"] = PIXELS.tolist()
        if form == "bytes":
            texts = [base64.b64encode(make_png(seed)).decode() for seed in range(2)]
            tensor = {"name": "image", "datatype": "BYTES", "shape": [2], "data": texts}
        reply = client.ask("POST", f"{path}/infer", {"id": "42", "inputs": [tensor]})
        assert reply.status == 200, reply.body
        document = reply.document
        assert (document["id"], document["model_name"], document["model_version"]) == ("42", "digits", "000001")
        probabilities, labels = document["outputs"]
        assert (probabilities["shape"], probabilities["datatype"]) == ([2, 3], "FP32")
        assert np.array_equal(np.array(probabilities["data"], np.float32).reshape(2, 3), expected(service))
        assert labels == {"name": "label", "datatype": "BYTES", "shape": [2], "data": labels_of(expected(service))}

    def test_only_the_outputs_that_are_asked_for(self, client: Client) -> None:
        body = {"inputs": [TENSOR], "outputs": [{"name": "label"}]}
        document = client.ask("POST", "/v2/models/digits/infer", body).document
        assert [output["name"] for output in document["outputs"]] == ["label"]
        assert "id" not in document

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"name": "pixels"}, "the tensor's name is 'pixels'; the model takes image"),
            ({"shape": [2, 28, 28]}, None),
            ({"shape": [3, 28, 28, 1]}, "its shape [3, 28, 28, 1] asks for 2,352"),
            ({"shape": "no"}, "shape is 'no'"),
            ({"shape": [-2]}, "shape is a list"),
            ({"datatype": "BOOL"}, "datatype is 'BOOL'"),
            ({"datatype": "BYTES"}, "is not so many texts"),
            ({"data": None}, "data is None"),
            ({"data": [[1], [2, 3]]}, "differ in length"),
        ],
    )
    def test_a_tensor_that_does_not_fit(self, client: Client, change: dict[str, Any], message: str | None) -> None:
        reply = client.ask("POST", "/v2/models/digits/infer", {"inputs": [{**TENSOR, **change}]})
        assert reply.status == (200 if message is None else 400), reply.body
        if message is not None:
            assert message in reply.error

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ({}, "inputs is None"),
            ({"inputs": [TENSOR, TENSOR]}, "send a list of one tensor"),
            ({"inputs": [TENSOR], "id": 5}, "the id is 5"),
            ({"inputs": [TENSOR], "outputs": [{"name": "x"}]}, "ask for probabilities and label"),
            ({"inputs": [TENSOR], "outputs": [5]}, "ask for probabilities and label"),
        ],
    )
    def test_a_request_that_does_not_fit(self, client: Client, body: Any, message: str) -> None:
        reply = client.ask("POST", "/v2/models/digits/infer", body)
        assert reply.status == 400
        assert message in reply.error

    def test_the_binary_extension_is_refused(self, client: Client) -> None:
        headers = {"Inference-Header-Content-Length": "5"}
        assert client.ask("POST", "/v2/models/digits/infer", b"{}...", headers).status == 400

    def test_other_models_and_versions_are_not_found(self, client: Client) -> None:
        for path in ("/v2/models/other", "/v2/models/digits/versions/000002"):
            reply = client.ask("GET", path)
            assert reply.status == 404
            assert "digits, version 000001, is served" in reply.error


class TestMlflow:
    def test_ping_and_version(self, client: Client) -> None:
        assert client.ask("GET", "/ping").status == 200
        assert client.ask("GET", "/health").status == 200
        assert client.ask("GET", "/version").body == __version__.encode()

    @pytest.mark.parametrize(
        "body",
        [
            {"inputs": PIXELS.tolist()},
            {"inputs": {"image": PIXELS.tolist()}},
            {"instances": PIXELS[..., 0].tolist(), "params": {}},
            {"dataframe_split": {"columns": [str(n) for n in range(784)], "data": PIXELS.reshape(2, 784).tolist()}},
            {"dataframe_records": [{"image": base64.b64encode(make_png(seed)).decode()} for seed in range(2)]},
            {"dataframe_split": {"columns": ["image"], "data": [[pixels] for pixels in PIXELS.tolist()]}},
        ],
        ids=["inputs", "a tensor", "instances", "columns", "base64", "cells"],
    )
    def test_invocations(self, client: Client, service: Service, body: Any) -> None:
        reply = client.ask("POST", "/invocations", body)
        assert reply.status == 200, reply.body
        predictions = reply.document["predictions"]
        assert [one["label"] for one in predictions] == labels_of(expected(service))
        rows = np.array([one["probabilities"] for one in predictions], np.float32)
        assert np.array_equal(rows, expected(service))

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ({}, "the keys none; send exactly one of dataframe_split"),
            ({"inputs": [], "instances": []}, "exactly one"),
            ({"inputs": [[1]], "params": {"a": 1}}, "leave them out"),
            ({"inputs": {"a": [], "b": []}}, "has 2 tensors"),
            ({"dataframe_split": {"data": 5}}, "without rows"),
            ({"dataframe_records": [5]}, "send a list of objects"),
            ({"dataframe_records": [{"a": 1}, {"b": 1}]}, "the records differ in their columns"),
        ],
    )
    def test_what_does_not_fit(self, client: Client, body: Any, message: str) -> None:
        reply = client.ask("POST", "/invocations", body)
        assert reply.status == 400
        assert message in reply.error

    def test_csv_is_refused(self, client: Client) -> None:
        assert client.ask("POST", "/invocations", b"1,2", {"Content-Type": "text/csv"}).status == 415


@pytest.fixture(scope="module")
def sums() -> Iterator[Client]:
    service = make_service()
    assert service.model is not None
    service.model = dataclasses.replace(
        service.model,
        predictor=lambda rows: rows.sum(axis=1, keepdims=True),
        inputs=inputs_of((3,)),
        outputs=outputs_of({"task": "regression"}),
    )
    with asking(service) as client:
        yield client


class TestValuesOfVectors:
    """Another kind of model, in each protocol."""

    def test_predict(self, sums: Client) -> None:
        reply = sums.ask("POST", "/predict", {"vectors": [[1, 2, 3], [0.5, 0, 0]]})
        assert reply.document == {
            "model": "digits",
            "version": "000001",
            "predictions": [{"value": 6.0}, {"value": 0.5}],
        }
        assert sums.ask("POST", "/predict", {"vector": [1, 2, 3]}).document["predictions"] == [{"value": 6.0}]
        assert 'send {"vector": ...}' in sums.ask("POST", "/predict", {"image": "aa"}).error
        assert sums.ask("POST", "/predict", make_png(), {"Content-Type": "image/png"}).status == 415

    def test_open_inference(self, sums: Client) -> None:
        known = sums.ask("GET", "/v2/models/digits").document
        assert known["inputs"] == [{"name": "vector", "datatype": "FP32", "shape": [-1, 3]}]
        assert known["outputs"] == [{"name": "values", "datatype": "FP32", "shape": [-1, 1]}]
        tensor = {"name": "vector", "datatype": "FP32", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6]}
        document = sums.ask("POST", "/v2/models/digits/infer", {"inputs": [tensor]}).document
        assert document["outputs"] == [{"name": "values", "datatype": "FP32", "shape": [2, 1], "data": [6.0, 15.0]}]

    def test_mlflow(self, sums: Client) -> None:
        table = {"columns": ["a", "b", "c"], "data": [[1, 2, 3]]}
        assert sums.ask("POST", "/invocations", {"dataframe_split": table}).document == {
            "predictions": [{"value": 6.0}]
        }
        records = [{"a": 1, "b": 2, "c": 4}]
        assert sums.ask("POST", "/invocations", {"dataframe_records": records}).document["predictions"] == [
            {"value": 7.0}
        ]


def figures(client: Client) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(client.ask("GET", "/metrics").body.decode())
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_metrics_count_what_happened() -> None:
    with asking(make_service()) as client:
        for _ in range(3):
            client.ask("POST", "/predict", {"images": PIXELS.tolist()})
        client.ask("POST", "/predict", {})
        known = figures(client)
        assert known["sparkweave_requests_total", "/predict", "200"] == 3
        assert known["sparkweave_requests_total", "/predict", "400"] == 1
        assert known["sparkweave_images_total",] == 6
        assert known["sparkweave_batch_images_count",] == 3
        assert known["sparkweave_request_seconds_count", "/predict"] == 4
        assert known["sparkweave_connections",] == 1
        assert known["sparkweave_waiting_images",] == known["sparkweave_bodies_bytes",] == 0
        assert known["sparkweave_registry_reachable",] == 1
        assert any(key[0] == "sparkweave_model_info" and "000001" in key for key in known)


def test_what_does_not_exist_is_said_in_json(client: Client) -> None:
    for method, path, status in (("GET", "/nope", 404), ("GET", "/predict", 405), ("DELETE", "/", 405)):
        reply = client.ask(method, path)
        assert reply.status == status
        assert "the paths are /predict" in reply.error


@pytest.fixture(scope="module")
def guarded() -> Iterator[Client]:
    with asking(make_service(), token=TOKEN) as client:
        yield client


class TestToken:
    @pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer wrong-but-long-enough", f"Basic {TOKEN}", TOKEN])
    def test_nothing_about_the_model_without_it(self, guarded: Client, given: str | None) -> None:
        headers = {} if given is None else {"Authorization": given}
        for path in ("/card", "/metrics", "/v2", "/v2/models/digits", "/v2/models/digits/ready", "/version"):
            reply = guarded.ask("GET", path, headers=headers)
            assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
            assert "digits" not in reply.error
        for path in ("/predict", "/invocations", "/v2/models/digits/infer"):
            assert guarded.ask("POST", path, headers=headers).status == 401

    def test_with_it(self, guarded: Client) -> None:
        for scheme in ("Bearer", "bearer"):
            assert guarded.ask("GET", "/card", headers={"Authorization": f"{scheme} {TOKEN}"}).status == 200

    def test_health_and_the_page_need_none(self, guarded: Client) -> None:
        for path in ("/", "/page.js", "/page.css", "/ping", "/v2/health/live", "/v2/health/ready"):
            reply = guarded.ask("GET", path)
            assert reply.status == 200
            assert b"digits" not in reply.body

    def test_any_host_is_answered(self, guarded: Client) -> None:
        headers = {"Host": "models.example", "Authorization": f"Bearer {TOKEN}"}
        assert guarded.ask("GET", "/card", headers=headers).status == 200


def test_without_a_token_only_this_host_is_answered(client: Client) -> None:
    for host in ("localhost", "127.0.0.1:8080", "[::1]:80"):
        assert client.ask("GET", "/card", headers={"Host": host}).status == 200
    for host in ("evil.example", "", "localhost.evil.example", "[::1]evil", "127.0.0.1@evil.example"):
        reply = client.ask("GET", "/card", headers={"Host": host})
        assert reply.status == 421
        assert "only localhost is answered" in reply.error
