"""What a model takes and gives: the one place that knows images from rows of numbers, and classes from values."""

from __future__ import annotations

import binascii
import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sparkweave.data.images import decode, probe
from sparkweave.errors import ImageError
from sparkweave.serving.refusal import Refusal, invalid, short

Rows = npt.NDArray[Any]
CHEAP_PIXELS = 100_000
"""Fewer are decoded at once, without a thread's help."""

_JPEG_START, _JPEG_SCAN = b"\xff\xd8\xff", b"\xff\xda"
_USUAL_SCANS = 16


class Inputs(Protocol):
    """The form of a model's input.

    Attributes:
        kind: ``image`` or ``vector``.
        shape: Of one row, as the predictor takes it.
        datatype: Of the Open Inference Protocol.
        dtype: NumPy's.
    """

    @property
    def kind(self) -> str:
        """See above."""

    @property
    def shape(self) -> tuple[int, ...]:
        """See above."""

    @property
    def datatype(self) -> str:
        """See above."""

    @property
    def dtype(self) -> type[np.generic]:
        """See above."""

    def from_files(
        self, files: Sequence[bytes], *, max_pixels: int, before_each: Callable[[], None] = lambda: None
    ) -> Rows:
        """Rows of encoded images; ``before_each`` is called before each, and ends it by raising."""

    def from_values(self, values: Any) -> Rows:
        """Rows of nested lists of numbers, one list a row."""


@dataclasses.dataclass(frozen=True)
class ImageInputs:
    """uint8 images (height, width, channels)."""

    shape: tuple[int, ...]
    kind: str = "image"
    datatype: str = "UINT8"
    dtype: type[np.generic] = np.uint8

    def from_files(
        self, files: Sequence[bytes], *, max_pixels: int, before_each: Callable[[], None] = lambda: None
    ) -> Rows:
        """See `Inputs.from_files`; images of another size are resized, as in `sparkweave predict`."""
        rows = np.empty((len(files), *self.shape), np.uint8)
        height, width, channels = self.shape
        for number, content in enumerate(files):
            before_each()
            try:
                rows[number] = decode(content, height=height, width=width, channels=channels, max_pixels=max_pixels)
            except ImageError as error:
                raise Refusal(422, f"image {number + 1} of {len(files)}: {error}") from error
        return rows

    def from_values(self, values: Any) -> Rows:
        """See `Inputs.from_values`; an image may come flat, and a gray one without its one channel."""
        numbers = _numbers(values)
        if numbers.shape[1:] in ((math.prod(self.shape),), self.shape[:-1] if self.shape[-1] == 1 else self.shape):
            numbers = numbers.reshape(-1, *self.shape)
        _check_shape(numbers, self.shape)
        if numbers.dtype.kind == "f" and not (numbers == np.floor(numbers)).all():
            raise invalid("a pixel is not a whole number", "give whole numbers from 0 to 255")
        if numbers.size and not 0 <= numbers.min() <= numbers.max() <= 255:
            raise invalid(f"pixels reach from {numbers.min()} to {numbers.max()}", "give whole numbers from 0 to 255")
        return numbers.astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class VectorInputs:
    """float32 rows of numbers."""

    shape: tuple[int, ...]
    kind: str = "vector"
    datatype: str = "FP32"
    dtype: type[np.generic] = np.float32

    def from_files(
        self, files: Sequence[bytes], *, max_pixels: int, before_each: Callable[[], None] = lambda: None
    ) -> Rows:
        """See `Inputs.from_files`: there are none."""
        raise Refusal(415, f"the model takes rows of {self.shape[0]} numbers, not files; send them as JSON")

    def from_values(self, values: Any) -> Rows:
        """See `Inputs.from_values`."""
        numbers = _numbers(values)
        _check_shape(numbers, self.shape)
        with np.errstate(over="ignore"):
            rows = numbers.astype(np.float32)
        if not np.isfinite(rows).all():
            raise invalid("a number is beyond float32", "give finite numbers up to 3.4e38")
        return rows


def inputs_of(input_shape: Sequence[int]) -> Inputs:
    """The form of input for a model of ``input_shape``: (channels, height, width), or (numbers,)."""
    if len(input_shape) == 3:
        channels, height, width = input_shape
        return ImageInputs((height, width, channels))
    return VectorInputs(tuple(input_shape))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outputs:
    """What a model's rows of numbers mean.

    Attributes:
        task: ``classification`` or ``regression``.
        labels: Of the classes, in order.
        class_names: In the same order.
    """

    task: str
    labels: tuple[str, ...]
    class_names: tuple[str, ...]

    @property
    def classifies(self) -> bool:
        """Whether the rows are probabilities of classes."""
        return self.task == "classification"

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return len(self.labels) if self.classifies else 1

    @property
    def name(self) -> str:
        """What the rows are called in the Open Inference Protocol."""
        return "probabilities" if self.classifies else "values"

    def describe(self, rows: npt.NDArray[np.float32]) -> list[dict[str, Any]]:
        """Each row as a document."""
        if not self.classifies:
            return [{"value": row[0] if len(row) == 1 else row} for row in rows.tolist()]
        return [self._describe(row) for row in rows.tolist()]

    def _describe(self, row: list[float]) -> dict[str, Any]:
        # Of NumPy's argmax each call gives up the interpreter, which costs more than it does.
        highest = max(row)
        best = row.index(highest)
        return {
            "label": self.labels[best],
            "class_name": self.class_names[best],
            "probability": highest,
            "probabilities": row,
        }

    def names(self) -> dict[str, Any]:
        """What stands once in an answer, for all its rows."""
        if not self.classifies:
            return {}
        return {"labels": self.labels, "class_names": self.class_names}


def outputs_of(config: Mapping[str, Any]) -> Outputs:
    """The meaning of the outputs of a model with this ``config.json``."""
    labels = tuple(config.get("labels") or ())
    names = config.get("class_names") or {}
    return Outputs(
        task=config.get("task", "classification"),
        labels=labels,
        class_names=tuple(names.get(label, label) for label in labels),
    )


def decode_base64(text: str) -> bytes:
    """Bytes in base64, with or without a data URL's head.

    Raises:
        Refusal: if it is none.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise invalid(f"{short(text)} is not base64 ({error})", "encode the image's file with base64") from error


def declared_pixels(files: Sequence[bytes], *, max_pixels: int) -> int:
    """The pixels that are gone over to decode these; a few bytes can declare very many.

    What is broken, or larger than ``max_pixels``, counts nothing: its header is enough to refuse it.
    """
    pixels = 0
    for content in files:
        with contextlib.suppress(ImageError):
            header = probe(content)
            if header.height * header.width <= max_pixels:
                pixels += header.height * header.width * _passes(content)
    return pixels


def _passes(content: bytes) -> int:
    """A JPEG can go over its pixels in any number of scans, each of a few bytes; photos have up to ten."""
    return 1 + content.count(_JPEG_SCAN) // _USUAL_SCANS if content.startswith(_JPEG_START) else 1


def _numbers(values: Any) -> npt.NDArray[Any]:
    try:
        numbers = np.asarray(values)
    except (ValueError, TypeError, OverflowError) as error:
        raise invalid("the rows differ in length, or nest too deep", "give lists of numbers of one shape") from error
    if numbers.dtype.kind not in "iuf":
        raise invalid("the rows hold something other than numbers", "give lists of numbers of one shape")
    return numbers


def _check_shape(numbers: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    if numbers.shape[1:] != shape:
        raise invalid(
            f"the rows have the shape {list(numbers.shape)}", f"the model takes [rows, {', '.join(map(str, shape))}]"
        )
