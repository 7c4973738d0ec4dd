from __future__ import annotations

import base64
import contextlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.serving.serving import make_pixels, make_png

from sparkweave.serving.inputs import declared_pixels, decode_base64, inputs_of, outputs_of
from sparkweave.serving.refusal import Refusal
from sparkweave.testing.archives import image_bomb


def test_images_take_files_and_vectors_do_not() -> None:
    images = inputs_of((1, 28, 28))
    assert (images.kind, images.shape, images.datatype) == ("image", (28, 28, 1), "UINT8")
    assert np.array_equal(images.from_files([make_png(3)], max_pixels=1000)[0], make_pixels(3))
    with pytest.raises(Refusal) as refused:
        inputs_of((5,)).from_files([b""], max_pixels=1)
    assert refused.value.status == 415


def test_vectors() -> None:
    vectors = inputs_of((3,))
    assert (vectors.kind, vectors.shape, vectors.datatype) == ("vector", (3,), "FP32")
    rows = vectors.from_values([[1, 2.5, -3], [0, 0, 1e-3]])
    assert rows.dtype == np.float32
    assert np.array_equal(rows, np.array([[1, 2.5, -3], [0, 0, 1e-3]], np.float32))
    for values, message in (
        ([[1, 2]], "the model takes"),
        ([[1e39, 0, 0]], "beyond float32"),
        ([["1", "2", "3"]], "other"),
    ):
        with pytest.raises(Refusal, match=message):
            vectors.from_values(values)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=20))
def test_whatever_json_holds_is_rows_or_refused(values: object) -> None:
    for shape in ((1, 2, 2), (3,)):
        with contextlib.suppress(Refusal):
            rows = inputs_of(shape).from_values(values)
            assert rows.shape[1:] == inputs_of(shape).shape
            assert np.isfinite(rows).all()


@given(st.binary(min_size=1, max_size=100))
def test_base64_comes_back(content: bytes) -> None:
    text = base64.b64encode(content).decode()
    assert decode_base64(text) == decode_base64(f"data:image/png;base64,{text}") == content


def test_pixels_are_counted_without_decoding() -> None:
    assert declared_pixels([make_png(), b"no image", make_png()], max_pixels=1000) == 2 * 28 * 28
    assert declared_pixels([image_bomb()], max_pixels=1 << 60) == 169_000_000
    assert declared_pixels([image_bomb()], max_pixels=1000) == 0, "its header is enough to refuse it"


def test_scans_beyond_the_usual_count_as_further_pixels() -> None:
    pixels = np.zeros((64, 64), np.uint8)
    photo = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert declared_pixels([photo], max_pixels=10_000) == pixels.size
    last = photo[photo.rindex(b"\xff\xda") : -2]
    assert declared_pixels([photo[:-2] + 1600 * last + photo[-2:]], max_pixels=10_000) > 100 * pixels.size


def test_values_of_a_regression() -> None:
    outputs = outputs_of({"task": "regression"})
    assert outputs.describe(np.array([[1.5], [2]], np.float32)) == [{"value": 1.5}, {"value": 2.0}]
    assert outputs.describe(np.array([[1, 2]], np.float32)) == [{"value": [1.0, 2.0]}]
    assert (outputs.name, outputs.names()) == ("values", {})
