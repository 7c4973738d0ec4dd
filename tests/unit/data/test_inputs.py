"""Images as users' columns hold them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

from sparkweave.data.image_rows import IMAGE_TYPE, DecodeOptions
from sparkweave.data.inputs import decode_inputs, to_images

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
SPARKS = pa.struct(
    [
        ("origin", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("nChannels", pa.int32()),
        ("mode", pa.int32()),
        ("data", pa.binary()),
    ]
)


def sparks(pixels: np.ndarray, **changes: Any) -> dict[str, Any]:
    height, width, channels = pixels.shape
    return {
        "origin": "",
        "height": height,
        "width": width,
        "nChannels": channels,
        "mode": 16,
        "data": pixels.tobytes(),
        **changes,
    }


def ours(pixels: np.ndarray) -> dict[str, Any]:
    height, width, channels = pixels.shape
    return {"height": height, "width": width, "channels": channels, "data": pixels.tobytes()}


def encoded(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels[:, :, ::-1])[1].tobytes()


@pytest.mark.parametrize("options", [DecodeOptions(), DecodeOptions(height=2, width=3), DecodeOptions(channels=3)])
def test_all_forms_of_an_image_are_the_same_image(options: DecodeOptions) -> None:
    opaque = np.concatenate([PIXELS[:, :, ::-1], np.full((4, 6, 1), 255, np.uint8)], axis=2)
    forms = [
        pa.array([encoded(PIXELS)], pa.binary()),
        pa.array([sparks(PIXELS[:, :, ::-1])], SPARKS),
        pa.array([sparks(opaque)], SPARKS),
        pa.array([ours(PIXELS)], IMAGE_TYPE),
    ]
    found = [to_images(form, options) for form in forms]
    assert all(errors.to_pylist() == [None] for _, errors in found)
    assert all(images.to_pylist() == found[0][0].to_pylist() for images, _ in found)


def test_gray_and_colour_are_made_alike_where_that_is_asked_for() -> None:
    gray = PIXELS[:, :, :1]
    images, _ = to_images(pa.array([ours(gray), ours(PIXELS)], IMAGE_TYPE), DecodeOptions(channels=3))
    assert images.field("channels").to_pylist() == [3, 3]
    images, _ = to_images(pa.array([sparks(gray), sparks(PIXELS)], SPARKS), DecodeOptions(channels=1))
    assert images.field("channels").to_pylist() == [1, 1]
    assert images[0].as_py()["data"] == gray.tobytes()


@pytest.mark.parametrize(
    ("value", "kind", "reason"),
    [
        (None, pa.binary(), "its image is null"),
        (b"broken", pa.binary(), "it starts with b'broken'"),
        (None, SPARKS, "its image is null"),
        (
            sparks(PIXELS, height=-1, width=-1, nChannels=-1, data=b""),
            SPARKS,
            r"are \(-1, -1, -1\), and its data has 0 bytes",
        ),
        (sparks(PIXELS, height=5), SPARKS, r"are \(5, 6, 3\), and its data has 72 bytes"),
        (sparks(PIXELS, width=9, nChannels=2), SPARKS, "it has 2 channels; give 1"),
    ],
)
def test_what_is_no_image_has_a_reason(value: Any, kind: pa.DataType, reason: str) -> None:
    good = encoded(PIXELS) if kind == pa.binary() else sparks(PIXELS)
    images, errors = to_images(pa.array([good, value], kind), DecodeOptions())
    assert images.is_valid().to_pylist() == [True, False]
    first, second = errors.to_pylist()
    assert first is None
    with pytest.raises(ValueError, match=reason):
        raise ValueError(second)


def test_labels_and_weights_stay_with_their_images() -> None:
    values = pa.array([encoded(PIXELS), b"broken"] * 300, pa.binary())
    numbers = range(len(values))
    rows = pa.RecordBatch.from_pydict(
        {
            "path": list(map(str, numbers)),
            "label": list(map(str, numbers)),
            "input": values,
            "weight": list(map(float, numbers)),
        }
    )
    found = [
        row for batch in decode_inputs([rows], options=DecodeOptions(), weighted=True) for row in batch.to_pylist()
    ]
    assert [(row["path"], row["label"], row["weight"]) for row in found] == [
        (str(n), str(n), float(n)) for n in numbers
    ]
    assert [row["error"] is None for row in found] == [True, False] * 300
