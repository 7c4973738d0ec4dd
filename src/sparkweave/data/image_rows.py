"""Archive entries to Arrow batches of decoded images.

Batches are bounded by bytes, not rows: 10,000 rows are 8 MB at 28 x 28 and 1.5 GB at 224 x 224 in colour. A batch's
pixels are one contiguous buffer with offsets into it: no image becomes a Python ``bytes`` object on the way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from sparkweave.config import require_at_least
from sparkweave.data.archive import IMAGE_ENDINGS, ArchiveLimits, is_image, is_passed_over
from sparkweave.data.images import Pixels, decode
from sparkweave.data.labels import label_of
from sparkweave.data.splits import Entry
from sparkweave.errors import ConfigError, ImageError, LabelError

IMAGE_TYPE = pa.struct([("height", pa.int32()), ("width", pa.int32()), ("channels", pa.int32()), ("data", pa.binary())])
"""One image: uint8 ``data`` of height * width * channels bytes, rows first, channels last."""

IMAGE_ROWS = pa.schema([("path", pa.string()), ("label", pa.string()), ("image", IMAGE_TYPE), ("error", pa.string())])
"""One archive entry: ``error`` is null for a usable image; otherwise ``image`` is null, and ``label`` may be."""

BATCH_BYTES = 8 << 20

_ROW_BYTES = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """How images are decoded.

    Attributes:
        height: Rows to resize to; None keeps them.
        width: Columns to resize to; None keeps them.
        channels: 1 (gray) or 3 (RGB); None keeps each image's own.
        limits: What is refused.
        labelled: Whether an image without a label is an error.
    """

    height: int | None = None
    width: int | None = None
    channels: int | None = None
    limits: ArchiveLimits = dataclasses.field(default_factory=ArchiveLimits)
    labelled: bool = True

    def __post_init__(self) -> None:
        if (self.height is None) != (self.width is None):
            raise ConfigError(f"image size is {self.height} x {self.width}; give both height and width, or neither")
        for name in ("height", "width"):
            if (value := getattr(self, name)) is not None:
                require_at_least(name, value, 1)
        if (self.height or 0) * (self.width or 0) > self.limits.max_pixels:
            raise ConfigError(
                f"image size is {self.height} x {self.width}; an image may have {self.limits.max_pixels:,} pixels at most"
            )
        if self.channels not in (None, 1, 3):
            raise ConfigError(
                f"channels is {self.channels!r}; choose 1 (gray) or 3 (RGB), or leave it out to keep each image's own"
            )


def decode_entries(archive: str, entries: Iterable[Entry], options: DecodeOptions) -> Iterator[pa.RecordBatch]:
    """Decodes the entries of one archive into batches of the schema `IMAGE_ROWS`.

    Args:
        archive: Its path, the part of each row's path before ``!/``.
        entries: Names, with bytes or the reason why there are none.
        options: Size, channels and limits.
    """
    return decode_rows(((f"{archive}!/{name}", content, reason) for name, content, reason in entries), options)


def decode_rows(rows: Iterable[Entry], options: DecodeOptions) -> Iterator[pa.RecordBatch]:
    """As `decode_entries`, where each name is already a whole row's path."""
    builder = _Builder()
    for path, content, reason in rows:
        builder.add(path, *_decode_row(path, content, reason, options))
        if builder.nbytes >= BATCH_BYTES:
            yield builder.finish()
            builder = _Builder()
    if builder.paths:
        yield builder.finish()


def usable_rows(rows: Iterable[Entry]) -> Iterator[Entry]:
    """Applies the rules of names to rows that another reader unpacked: what is passed over, endings, repetitions."""
    seen: set[str] = set()
    for path, content, reason in rows:
        name = path.rpartition("!/")[2]
        if is_passed_over(name):
            continue
        if reason is None and path in seen:
            yield path, None, "its name came before in the archive; names must differ"
        elif reason is None and not is_image(name):
            yield path, None, f"its name does not end in {', '.join(IMAGE_ENDINGS)}; only PNG and JPEG images are read"
        else:
            yield path, content, reason
        seen.add(path)


def _decode_row(
    path: str, content: bytes | None, reason: str | None, options: DecodeOptions
) -> tuple[str | None, Pixels | None, str | None]:
    label = None
    try:
        label = label_of(path)
    except LabelError as error:
        if options.labelled:
            return None, None, reason or str(error)
    if content is None:
        return label, None, reason
    try:
        pixels = decode(
            content,
            height=options.height,
            width=options.width,
            channels=options.channels,
            max_pixels=options.limits.max_pixels,
        )
    except ImageError as error:
        return label, None, str(error)
    return label, pixels, None


class _Builder:
    """Collects rows until they are a batch."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.nbytes = 0
        self._labels: list[str | None] = []
        self._pixels: list[Pixels | None] = []
        self._errors: list[str | None] = []

    def add(self, path: str, label: str | None, pixels: Pixels | None, error: str | None) -> None:
        self.paths.append(path)
        self._labels.append(label)
        self._pixels.append(pixels)
        self._errors.append(error)
        self.nbytes += _ROW_BYTES + (0 if pixels is None else pixels.nbytes)

    def finish(self) -> pa.RecordBatch:
        text = pa.string()
        columns = [
            pa.array(self.paths, text),
            pa.array(self._labels, text),
            image_array(self._pixels),
            pa.array(self._errors, text),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=IMAGE_ROWS)


def image_array(images: list[Pixels | None]) -> pa.StructArray:
    """An Arrow array of type `IMAGE_TYPE` from uint8 pixels of shape (height, width, channels), or None for null."""
    present = [image for image in images if image is not None]
    missing = np.array([image is None for image in images])
    shapes = np.zeros((len(images), 3), np.int32)
    if present:
        shapes[~missing] = [image.shape for image in present]
    offsets = np.zeros(len(images) + 1, np.int32)
    np.cumsum(shapes.prod(axis=1), out=offsets[1:])
    data = pa.py_buffer(b"".join(present))  # type: ignore[arg-type]
    binary = pa.BinaryArray.from_buffers(pa.binary(), len(images), [None, pa.py_buffer(offsets.data), data])
    columns = [pa.array(np.ascontiguousarray(column)) for column in shapes.T]
    return pa.StructArray.from_arrays([*columns, binary], fields=list(IMAGE_TYPE), mask=pa.array(missing))
