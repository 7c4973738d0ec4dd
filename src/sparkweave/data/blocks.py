"""Rows of images to blocks of images, one shard's each: what is shuffled between tasks is a few large rows, not millions.

Which shard an example belongs to, and its place in there, follow from the seed and its path alone, so a shard is the same
whatever the partitions of the input were and in whatever order tasks ran. Of the path only the archive's name and the
entry's count: the same archives give the same shards on local disk and on HDFS.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

KEY = np.dtype("<u8")
_FOLDERS_OF_ARCHIVE = r"^.*/([^/]*!/)"
_HISTOGRAM_VALUES = 1 << 23  # OpenCV counts in float32, exact up to 2 ** 24
BAD_SHOWN = 20
"""How many unusable rows are named; all are counted."""

BLOCK_COLUMNS = (
    "shard int, examples int, height int, width int, channels int, keys binary, codes binary, pixels binary, "
    "classes array<string>, counts array<bigint>, sums array<bigint>, squares array<bigint>, "
    "bad int, bad_reasons array<string>"
)
_FIELDS: list[tuple[str, pa.DataType]] = [
    ("shard", pa.int32()),
    ("examples", pa.int32()),
    ("height", pa.int32()),
    ("width", pa.int32()),
    ("channels", pa.int32()),
    ("keys", pa.binary()),
    ("codes", pa.binary()),
    ("pixels", pa.binary()),
    ("classes", pa.list_(pa.string())),
    ("counts", pa.list_(pa.int64())),
    ("sums", pa.list_(pa.int64())),
    ("squares", pa.list_(pa.int64())),
    ("bad", pa.int32()),
    ("bad_reasons", pa.list_(pa.string())),
]
_SCHEMA = pa.schema(_FIELDS)


def to_blocks(batches: Iterable[pa.RecordBatch], *, shards: int, seed: int) -> Iterator[pa.RecordBatch]:
    """Task: groups decoded images by shard.

    Args:
        batches: Columns ``path``, ``label``, ``image`` and, optionally, ``error``, as `read_image_archives` gives them.
        shards: How many shards there are.
        seed: Of the assignment.

    Yields:
        Batches of the columns `BLOCK_COLUMNS`. ``keys`` holds a uint64 an example, ``codes`` an int32 index into
        ``classes``, ``pixels`` uint8 of (examples, height, width, channels); ``sums`` and ``squares`` are over a channel's
        pixels and their squares. Unusable rows are counted in ``bad``.
    """
    for batch in batches:
        usable = _usable(batch)
        all_usable = usable.true_count == len(usable)
        good = batch if all_usable else batch.filter(usable)
        rows = [] if all_usable else [_bad_row(batch.filter(pc.invert(usable)))]
        if good.num_rows:
            rows += _blocks_of(good, shards, seed)
        if rows:
            yield pa.RecordBatch.from_pylist(rows, schema=_SCHEMA)


def _usable(batch: pa.RecordBatch) -> Any:
    usable = pc.and_(batch.column("image").is_valid(), batch.column("label").is_valid())
    return pc.and_(usable, batch.column("error").is_null()) if "error" in batch.schema.names else usable


def _bad_row(bad: pa.RecordBatch) -> dict[str, Any]:
    first = bad.slice(0, BAD_SHOWN).to_pylist()
    reasons = [f"{row['path']}: {row.get('error') or 'its image or its label is null'}" for row in first]
    return {"shard": 0, "examples": 0, "bad": bad.num_rows, "bad_reasons": reasons}


def _blocks_of(batch: pa.RecordBatch, shards: int, seed: int) -> Iterator[dict[str, Any]]:
    image: Any = batch.column("image")
    shape = np.stack([image.field(name).to_numpy() for name in ("height", "width", "channels")], axis=1)
    if (shape == shape[0]).all():
        yield from _blocks_of_one_size(batch, tuple(shape[0].tolist()), shards, seed)
        return
    for size in np.unique(shape, axis=0):
        same = pa.array((shape == size).all(axis=1))
        yield from _blocks_of_one_size(batch.filter(same), tuple(size.tolist()), shards, seed)


def _blocks_of_one_size(
    batch: pa.RecordBatch, size: tuple[int, int, int], shards: int, seed: int
) -> Iterator[dict[str, Any]]:
    image: Any = batch.column("image")
    pixels = _pixels(image.field("data"), size)
    keys = path_keys(batch.column("path"), seed)
    labels = batch.column("label").dictionary_encode()
    codes = labels.indices.to_numpy().astype(np.int32)
    classes = labels.dictionary.to_pylist()
    shard_of = keys % shards
    for shard in range(shards):
        members = np.flatnonzero(shard_of == shard)
        if not len(members):
            continue
        chosen = pixels[members]
        sums, squares = _moments(chosen, size[2])
        yield {
            "shard": shard,
            "examples": len(members),
            "height": size[0],
            "width": size[1],
            "channels": size[2],
            "keys": keys[members].tobytes(),
            "codes": codes[members].tobytes(),
            "pixels": chosen.data,
            "classes": classes,
            "counts": np.bincount(codes[members], minlength=len(classes)),
            "sums": sums,
            "squares": squares,
            "bad": 0,
        }


def path_keys(paths: Any, seed: int) -> npt.NDArray[np.uint64]:
    """A SipHash of each path, keyed by the seed: which shard an example is in, and its place there."""
    names = pc.replace_substring_regex(paths.fill_null(""), _FOLDERS_OF_ARCHIVE, r"\1")
    hashes: npt.NDArray[np.uint64] = pd.util.hash_array(
        names.to_numpy(zero_copy_only=False), hash_key=f"{seed:016x}"[-16:], categorize=False
    )
    return hashes.astype(KEY, copy=False)


def pixel_rows(
    rows: pa.RecordBatch, shape: tuple[int, int, int]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], list[str | None]]:
    """The pixels of the usable rows, uint8 (N, H, W, C); their positions; and every row's error, if it has one.

    Args:
        rows: Columns ``image`` and, optionally, ``error``.
        shape: (channels, height, width) that images must have.
    """
    channels, height, width = shape
    image: Any = rows.column("image")
    errors: list[str | None] = rows.column("error").to_pylist() if "error" in rows.schema.names else [None] * len(image)
    sizes = zip(*(image.field(name).to_pylist() for name in ("channels", "height", "width")), strict=True)
    for position, (valid, size) in enumerate(zip(image.is_valid().to_pylist(), sizes, strict=True)):
        if errors[position] is None and not valid:
            errors[position] = "its image is null"
        elif errors[position] is None and size != shape:
            errors[position] = (
                f"it is {size[1]}x{size[2]} with {size[0]} channels, and the model takes {height}x{width} with {channels}; "
                "read it with image_size and channels set to that"
            )
    chosen = np.array([position for position, error in enumerate(errors) if error is None], np.int64)
    data = image.field("data") if len(chosen) == len(errors) else image.field("data").take(pa.array(chosen))
    pixels = _pixels(data, (height, width, channels)).reshape(-1, height, width, channels)
    return pixels, chosen, errors


def _pixels(data: Any, size: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """The images as (examples, bytes of one), without a copy."""
    length = size[0] * size[1] * size[2]
    _, positions, content = data.buffers()
    offsets = np.frombuffer(positions, np.int32)[data.offset : data.offset + len(data) + 1]
    if (np.diff(offsets) != length).any():
        raise ValueError(f"an image of height, width, channels {size} must have {length} bytes of data")
    pixels: npt.NDArray[np.uint8] = np.frombuffer(content or b"", np.uint8)[offsets[0] : offsets[-1]]
    return pixels.reshape(len(data), length)


def _moments(pixels: npt.NDArray[np.uint8], channels: int) -> tuple[list[int], list[int]]:
    """The exact sum of each channel's values, and of their squares."""
    values = np.arange(256, dtype=np.int64)
    sums, squares = [0] * channels, [0] * channels
    for start in range(0, len(pixels), rows := max(1, _HISTOGRAM_VALUES // max(1, pixels.shape[1]))):
        part = pixels[start : start + rows].reshape(-1, 1, channels)
        for channel in range(channels):
            histogram = cv2.calcHist([part], [channel], None, [256], [0, 256]).ravel().astype(np.int64)
            sums[channel] += int(histogram @ values)
            squares[channel] += int(histogram @ values**2)
    return sums, squares
