"""Images as users' DataFrames hold them to images as networks take them: encoded, in Spark's image struct, or in our own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from sparkweave.data.image_rows import IMAGE_TYPE, DecodeOptions, image_array
from sparkweave.data.images import Pixels, decode, resize, use_one_thread
from sparkweave.errors import ImageError

_ROWS = 256


def decode_inputs(
    batches: Iterable[pa.RecordBatch], *, options: DecodeOptions, weighted: bool
) -> Iterator[pa.RecordBatch]:
    """Task: rows of ``path``, ``label``, ``input`` and, if ``weighted``, ``weight`` to rows with ``image`` and ``error``."""
    use_one_thread()
    for batch in batches:
        for start in range(0, batch.num_rows, _ROWS):
            rows = batch.slice(start, _ROWS)
            images, errors = to_images(rows.column("input"), options)
            columns = {"path": rows.column("path"), "label": rows.column("label"), "image": images, "error": errors}
            if weighted:
                columns["weight"] = rows.column("weight")
            yield pa.RecordBatch.from_pydict(columns)


def to_images(values: Any, options: DecodeOptions) -> tuple[pa.StructArray, pa.StringArray]:
    """Images of `IMAGE_TYPE`, and why those that are null could not be made.

    Args:
        values: Arrow binary (PNG or JPEG), Spark's image struct, or `IMAGE_TYPE`.
        options: Size, channels and limits.
    """
    if values.type == IMAGE_TYPE and not (options.height or options.channels):
        return values, pa.array(
            [None if valid else "its image is null" for valid in values.is_valid().to_pylist()], pa.string()
        )
    images: list[Pixels | None] = []
    errors: list[str | None] = []
    for value in values:
        try:
            images.append(_to_image(value, options))
            errors.append(None)
        except ImageError as error:
            images.append(None)
            errors.append(str(error))
    return image_array(images), pa.array(errors, pa.string())


def _to_image(value: Any, options: DecodeOptions) -> Pixels:
    if not value.is_valid:
        raise ImageError("its image is null")
    if pa.types.is_struct(value.type):
        return _fitted(_from_struct(value.as_py()), options)
    return decode(
        value.as_py(),
        height=options.height,
        width=options.width,
        channels=options.channels,
        max_pixels=options.limits.max_pixels,
    )


def _from_struct(image: dict[str, Any]) -> Pixels:
    """Spark keeps three channels as BGR, and four as BGRA; the fourth, its opacity, is dropped."""
    is_sparks = "nChannels" in image
    channels = image["nChannels" if is_sparks else "channels"]
    shape = (image["height"], image["width"], channels)
    data = image["data"]
    if data is None or any(size is None or size < 1 for size in shape) or len(data) != shape[0] * shape[1] * shape[2]:
        raise ImageError(f"its height, width and channels are {shape}, and its data has {len(data or b'')} bytes")
    pixels = np.frombuffer(data, np.uint8).reshape(shape)
    if channels not in (1, 3, 4):
        raise ImageError(f"it has {channels} channels; give 1 (gray), 3 or 4")
    if channels == 1:
        return pixels
    return np.ascontiguousarray(pixels[:, :, 2::-1] if is_sparks else pixels[:, :, :3])


def _fitted(pixels: Pixels, options: DecodeOptions) -> Pixels:
    """In the size and with the channels that are asked for."""
    if options.channels == 1 and pixels.shape[2] == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[:, :, None]  # type: ignore[assignment]
    elif options.channels == 3 and pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    if options.height is None or options.width is None:
        return pixels
    resized = resize(pixels, options.height, options.width)
    return resized.reshape(options.height, options.width, pixels.shape[2])
