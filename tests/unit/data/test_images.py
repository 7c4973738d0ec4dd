from __future__ import annotations

import contextlib
import io
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sparkweave.data.images import decode, probe
from sparkweave.errors import ImageError
from sparkweave.testing.archives import encode_image, image_bomb, make_image, png_of

RGB = make_image(1, size=(20, 30), channels=3)
GRAY = RGB[..., :1]


def written(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("pixels", [GRAY, RGB], ids=["gray", "rgb"])
def test_png_pixels_are_exact(pixels: np.ndarray) -> None:
    decoded = decode(encode_image(pixels))
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, pixels)
    assert probe(encode_image(pixels)) == pixels.shape


@pytest.mark.parametrize("pixels", [GRAY, RGB], ids=["gray", "rgb"])
def test_jpeg_pixels_are_those_of_pillow(pixels: np.ndarray) -> None:
    content = encode_image(pixels, ".jpg")
    other = np.asarray(Image.open(io.BytesIO(content))).reshape(pixels.shape)
    assert np.abs(decode(content).astype(int) - other).max() <= 3


def test_alpha_is_dropped_and_palettes_and_depths_become_8_bit_channels() -> None:
    rgba = Image.fromarray(np.dstack([RGB, GRAY]))
    np.testing.assert_array_equal(decode(written(rgba)), RGB)
    assert decode(written(Image.fromarray(GRAY[..., 0]).convert("LA"))).shape == (20, 30, 1)
    palette = Image.fromarray(RGB).quantize(8)
    np.testing.assert_array_equal(decode(written(palette)), np.asarray(palette.convert("RGB")))
    deep = decode(written(Image.fromarray(GRAY[..., 0].astype(np.uint16) * 257)))
    np.testing.assert_array_equal(deep, GRAY)
    assert set(np.unique(decode(written(Image.fromarray(GRAY[..., 0] > 99))))) == {0, 255}
    assert decode(written(Image.fromarray(np.dstack([RGB, GRAY]), "CMYK"), "JPEG")).shape == (20, 30, 3)


def test_channels_can_be_chosen() -> None:
    np.testing.assert_array_equal(decode(encode_image(GRAY), channels=3), np.repeat(GRAY, 3, axis=2))
    assert decode(encode_image(RGB), channels=1).shape == (20, 30, 1)


@pytest.mark.parametrize("size", [(10, 15), (40, 60), (10, 60), (20, 30), (1, 1)])
@pytest.mark.parametrize("pixels", [GRAY, RGB], ids=["gray", "rgb"])
def test_images_are_resized_to_the_size_asked_for(pixels: np.ndarray, size: tuple[int, int]) -> None:
    decoded = decode(encode_image(pixels), height=size[0], width=size[1])
    assert decoded.shape == (*size, pixels.shape[2])
    assert decoded.dtype == np.uint8
    assert abs(float(decoded.mean()) - float(pixels.mean())) < 12 or size == (1, 1)


def test_halving_averages() -> None:
    halved = decode(encode_image(GRAY), height=10, width=15)[..., 0]
    np.testing.assert_allclose(halved, GRAY.reshape(10, 2, 15, 2).mean(axis=(1, 3)), atol=0.51)


def test_an_image_bomb_is_refused_without_memory() -> None:
    bomb = image_bomb()
    assert len(bomb) < 25_000
    tracemalloc.start()
    with pytest.raises(ImageError, match=r"13000 x 13000 pixels; from 1 to 50000000"):
        decode(bomb)
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()
    assert decode(image_bomb(300, 200)).shape == (300, 200, 1)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it is empty"),
        (b"GIF89a....", r"\(GIF\); only PNG and JPEG"),
        (b"BM......", r"\(BMP\)"),
        (b"hello", "only PNG and JPEG"),
        (png_of(0, 10, b""), "0 x 10 pixels"),
        (png_of(10, 10, b"junk"), "can't be decoded"),
    ],
)
def test_bytes_that_are_no_image_are_refused_with_the_rule(content: bytes, says: str) -> None:
    with pytest.raises(ImageError, match=says):
        decode(content)


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_a_truncated_image_is_refused_wherever_it_ends(ending: str) -> None:
    content = encode_image(RGB, ending)
    for length in range(1, len(content) - 2, 7):
        with pytest.raises(ImageError, match=r"truncated|only PNG"):
            decode(content[:length])


def test_an_end_mark_of_a_thumbnail_is_not_that_of_the_image() -> None:
    content = encode_image(RGB, ".jpg")
    thumbnail = b"\xff\xe1" + (2 + len(content)).to_bytes(2, "big") + content
    whole = content[:2] + thumbnail + content[2:]
    assert decode(whole).shape == RGB.shape
    with pytest.raises(ImageError, match="truncated"):
        decode(whole[:-100])


def test_bytes_after_the_end_do_not_matter() -> None:
    np.testing.assert_array_equal(decode(encode_image(RGB) + bytes(100)), RGB)
    assert decode(encode_image(RGB, ".jpg") + b"trailer").shape == RGB.shape


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 2000), value=st.integers(0, 255), ending=st.sampled_from([".png", ".jpg"]))
def test_a_changed_byte_gives_an_image_or_an_image_error(at: int, value: int, ending: str) -> None:
    content = bytearray(encode_image(RGB, ending))
    content[at % len(content)] = value
    with contextlib.suppress(ImageError):
        assert decode(bytes(content), max_pixels=10_000).ndim == 3
