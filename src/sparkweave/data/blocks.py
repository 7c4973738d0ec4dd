"""Rows of examples to blocks of examples, one shard's each: what is shuffled between tasks is a few large rows, not millions.

An example is an image (uint8 pixels) or a vector (float32 numbers), with a class or a number to predict. Which shard it
belongs to, and its place in there, follow from the seed and its path alone, so a shard is the same whatever the partitions of
the input were and in whatever order tasks ran. Of an image's path only the archive's name and the entry's count: the same
archives give the same shards on local disk and on HDFS.
"""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

KEY = np.dtype("<u8")
Shape = tuple[int, ...]
"""(channels, height, width) of uint8 images, or (numbers,) of float32 vectors."""

_ARCHIVE_END = "!/"
_LARGEST = pa.scalar(float(np.finfo(np.float32).max))
_HISTOGRAM_VALUES = 1 << 23  # OpenCV counts in float32, exact up to 2 ** 24
BAD_SHOWN = 20
"""How many unusable rows are named; all are counted."""

BLOCK_COLUMNS = (
    "shard int, examples int, shape array<int>, keys binary, inputs binary, targets binary, weights binary, "
    "classes array<string>, counts array<bigint>, sums array<double>, squares array<double>, "
    "target_sum double, target_squares double, weight_sum double, digest bigint, bad int, bad_reasons array<string>"
)
_FIELDS: list[tuple[str, pa.DataType]] = [
    ("shard", pa.int32()),
    ("examples", pa.int32()),
    ("shape", pa.list_(pa.int32())),
    ("keys", pa.binary()),
    ("inputs", pa.binary()),
    ("targets", pa.binary()),
    ("weights", pa.binary()),
    ("classes", pa.list_(pa.string())),
    ("counts", pa.list_(pa.int64())),
    ("sums", pa.list_(pa.float64())),
    ("squares", pa.list_(pa.float64())),
    ("target_sum", pa.float64()),
    ("target_squares", pa.float64()),
    ("weight_sum", pa.float64()),
    ("digest", pa.int64()),
    ("bad", pa.int32()),
    ("bad_reasons", pa.list_(pa.string())),
]
_SCHEMA = pa.schema(_FIELDS)


def to_blocks(batches: Iterable[pa.RecordBatch], *, shards: int, seed: int) -> Iterator[pa.RecordBatch]:
    """Task: groups examples by shard.

    Args:
        batches: Columns ``path``, ``label`` (text: a class; double: a number to predict), ``image`` (as `read_image_archives`
            gives it) or ``features`` (a list of float32) and, optionally, ``weight`` (double) and ``error``.
        shards: How many shards there are.
        seed: Of the assignment.

    Yields:
        Batches of the columns `BLOCK_COLUMNS`. ``shape`` is (channels, height, width) of images, (numbers,) of vectors.
        ``keys`` holds a uint64 an example; ``inputs`` uint8 (examples, height, width, channels) or float32 (examples, numbers);
        ``targets`` an int32 index into ``classes``, or a float32 where there are no classes; ``weights`` a float32, or is null.
        ``sums`` are over a channel's pixels or over one of the numbers; ``squares`` over the squares of pixels, or of numbers'
        differences from their mean in the block, and so with the targets. ``digest`` is the sum of a hash of each example, its
        target and its weight, modulo 2 ** 64. Unusable rows are counted in ``bad``.
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
    columns: dict[str, Any] = dict(zip(batch.schema.names, batch.columns, strict=True))
    rules = [columns["label"].is_valid()]
    if "features" in columns:
        rules += [_is_true(pc.greater(columns["features"].value_lengths(), pa.scalar(0)))]
        rules += [pa.array(_are_finite(columns["features"]))]
    else:
        rules += [columns["image"].is_valid(), pa.array(_are_whole(columns["image"]))]
    if pa.types.is_floating(columns["label"].type):
        rules.append(_is_true(pc.less_equal(pc.abs(columns["label"]), _LARGEST)))
    if "weight" in columns:
        weight = columns["weight"]
        rules.append(_is_true(pc.and_(pc.less_equal(weight, _LARGEST), pc.greater_equal(weight, pa.scalar(0.0)))))
    if "error" in columns:
        rules.append(columns["error"].is_null())
    return functools.reduce(pc.and_, rules)


def _is_true(condition: Any) -> Any:
    """Without nulls: these are false."""
    return pc.fill_null(condition, pa.scalar(False))  # noqa: FBT003 - Arrow's


def _are_whole(image: Any) -> npt.NDArray[np.bool_]:
    """Which images have as many bytes as their sizes say."""
    sizes = [image.field(name).fill_null(0).to_numpy().astype(np.int64) for name in ("height", "width", "channels")]
    lengths = pc.binary_length(image.field("data")).fill_null(-1).to_numpy()
    whole: npt.NDArray[np.bool_] = (lengths == sizes[0] * sizes[1] * sizes[2]) & (lengths > 0)
    return whole


def _are_finite(features: Any) -> npt.NDArray[np.bool_]:
    """Which of the lists hold finite numbers alone."""
    with np.errstate(over="ignore"):
        wrong = np.flatnonzero(~np.isfinite(features.flatten().fill_null(math.nan).to_numpy().astype(np.float32)))
    finite = np.ones(len(features), np.bool_)
    if len(wrong):
        stops = np.cumsum(features.value_lengths().fill_null(0).to_numpy())
        finite[np.searchsorted(stops, wrong, side="right")] = False
    return finite


def _bad_row(bad: pa.RecordBatch) -> dict[str, Any]:
    reasons = [f"{row['path']}: {row.get('error') or _reason(row)}" for row in bad.slice(0, BAD_SHOWN).to_pylist()]
    return {"shard": 0, "examples": 0, "bad": bad.num_rows, "bad_reasons": reasons}


def _reason(row: dict[str, Any]) -> str:
    """Why a row without an ``error`` can't be used."""
    missing = [name for name in ("image", "features", "label") if name in row and row[name] is None]
    if missing == ["label"] and "features" in row:
        return "its label is null; a class is text or a whole number, and a number to predict is a number"
    if missing:
        return f"its {' and its '.join(missing)} {'is' if len(missing) == 1 else 'are'} null"
    if isinstance(row["label"], float) and not abs(row["label"]) <= _LARGEST.as_py():
        return f"its label is {row['label']}; it must be finite"
    if "weight" in row and not (row["weight"] is not None and 0 <= row["weight"] <= _LARGEST.as_py()):
        return f"its weight is {row['weight']}; it must be a finite number of at least 0"
    if "image" in row:
        size = {name: row["image"][name] for name in ("height", "width", "channels")}
        return f"its {', '.join(f'{name} is {value}' for name, value in size.items())}, and its data has {len(row['image']['data'] or b'')} bytes"
    return "its features are not all finite numbers" if row["features"] else "it has no numbers"


def _blocks_of(batch: pa.RecordBatch, shards: int, seed: int) -> Iterator[dict[str, Any]]:
    for shape, rows in _by_shape(batch):
        yield from _blocks_of_one_shape(rows, shape, shards, seed)


def _by_shape(batch: pa.RecordBatch) -> Iterator[tuple[Shape, pa.RecordBatch]]:
    if "features" in batch.schema.names:
        features: Any = batch.column("features")
        shapes = features.value_lengths().to_numpy()[:, None]
    else:
        image: Any = batch.column("image")
        shapes = np.stack([image.field(name).to_numpy() for name in ("channels", "height", "width")], axis=1)
    if (shapes == shapes[0]).all():
        yield tuple(shapes[0].tolist()), batch
        return
    for shape in np.unique(shapes, axis=0):
        yield tuple(shape.tolist()), batch.filter(pa.array((shapes == shape).all(axis=1)))


def _blocks_of_one_shape(batch: pa.RecordBatch, shape: Shape, shards: int, seed: int) -> Iterator[dict[str, Any]]:
    inputs = _inputs(batch, shape)
    keys = path_keys(batch.column("path"), seed)
    labels: Any = batch.column("label")
    is_number = pa.types.is_floating(labels.type)
    coded = None if is_number else labels.dictionary_encode()
    targets = labels.to_numpy().astype(np.float32) if coded is None else coded.indices.to_numpy().astype(np.int32)
    weights = batch.column("weight").to_numpy().astype(np.float32) if "weight" in batch.schema.names else None
    shard_of = keys % shards
    digests = _digests(
        keys, inputs, targets if coded is None else _hashed(coded.dictionary.to_pylist())[targets], weights
    )
    for shard in range(shards):
        members = np.flatnonzero(shard_of == shard)
        if not len(members):
            continue
        chosen = inputs[members]
        sums, squares = _vector_moments(chosen) if len(shape) == 1 else _pixel_moments(chosen, shape[0])
        yield {
            "shard": shard,
            "examples": len(members),
            "shape": shape,
            "keys": keys[members].tobytes(),
            "inputs": chosen.data.cast("B"),
            "targets": targets[members].tobytes(),
            "weights": None if weights is None else weights[members].tobytes(),
            "sums": sums,
            "squares": squares,
            **(_number_figures(targets[members]) if coded is None else _class_figures(coded, targets[members])),
            "weight_sum": None if weights is None else float(weights[members].astype(np.float64).sum()),
            "digest": int(digests[members].sum(dtype=KEY).view(np.int64)),
            "bad": 0,
        }


def _class_figures(coded: Any, codes: npt.NDArray[Any]) -> dict[str, Any]:
    classes = coded.dictionary.to_pylist()
    return {"classes": classes, "counts": np.bincount(codes, minlength=len(classes))}


def _number_figures(numbers: npt.NDArray[Any]) -> dict[str, Any]:
    (total,), (squares,) = _vector_moments(numbers[:, None])
    return {"target_sum": total, "target_squares": squares}


def _digests(
    keys: npt.NDArray[np.uint64], inputs: npt.NDArray[Any], targets: npt.NDArray[Any], weights: npt.NDArray[Any] | None
) -> npt.NDArray[np.uint64]:
    """A hash of each example with all that training takes of it."""
    contents = np.fromiter((zlib.crc32(example) for example in inputs), np.uint64, len(inputs))
    digests = keys
    for part in (contents, _bits(targets), *([] if weights is None else [_bits(weights)])):
        digests = pd.util.hash_array(digests ^ part)
    return digests


def _bits(numbers: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    return numbers if numbers.dtype == KEY else numbers.view(np.uint32).astype(np.uint64)


def path_keys(paths: Any, seed: int) -> npt.NDArray[np.uint64]:
    """A SipHash of each path, keyed by the seed: which shard an example is in, and its place there."""
    return _hashed([_without_folders(path or "") for path in paths.to_pylist()], seed)


def _without_folders(path: str) -> str:
    """A path without the folders that its archive is in.

    >>> _without_folders("hdfs://node/data/train.zip!/a/1_0.png"), _without_folders("data/1_0.png")
    ('train.zip!/a/1_0.png', 'data/1_0.png')
    """
    archive_end = path.rfind(_ARCHIVE_END)
    return path if archive_end < 0 else path[path.rfind("/", 0, archive_end) + 1 :]


def _hashed(texts: Sequence[str | None], seed: int = 0) -> npt.NDArray[np.uint64]:
    hashes: npt.NDArray[np.uint64] = pd.util.hash_array(
        np.array(texts, object), hash_key=f"{seed:016x}"[-16:], categorize=False
    )
    return hashes.astype(KEY, copy=False)


def input_rows(rows: pa.RecordBatch, shape: Shape) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64], list[str | None]]:
    """The inputs of the usable rows, uint8 (N, H, W, C) or float32 (N, numbers); their positions; and every row's error, if it has one.

    Args:
        rows: Columns ``image`` or ``features`` and, optionally, ``error``.
        shape: (channels, height, width) that images must have, or (numbers,) that vectors must have.
    """
    column = "features" if len(shape) == 1 else "image"
    values: Any = rows.column(column)
    errors: list[str | None] = (
        rows.column("error").to_pylist() if "error" in rows.schema.names else [None] * len(values)
    )
    wrong = _wrong_vectors(values, shape[0]) if len(shape) == 1 else _wrong_images(values, shape)
    for position, reason in wrong.items():
        errors[position] = errors[position] or reason
    chosen = np.array([position for position, error in enumerate(errors) if error is None], np.int64)
    good = rows if len(chosen) == len(errors) else rows.take(pa.array(chosen, pa.int64()))
    inputs = _inputs(good, shape)
    if len(shape) == 3:
        inputs = inputs.reshape(-1, shape[1], shape[2], shape[0])
    return inputs, chosen, errors


def _wrong_images(image: Any, shape: Shape) -> dict[int, str]:
    channels, height, width = shape
    wrong = {}
    whole = _are_whole(image).tolist()
    sizes = zip(*(image.field(name).to_pylist() for name in ("channels", "height", "width")), strict=True)
    for position, (valid, size) in enumerate(zip(image.is_valid().to_pylist(), sizes, strict=True)):
        if not valid:
            wrong[position] = "its image is null"
        elif size == shape and not whole[position]:
            wrong[position] = "its data has another length than its height, width and channels say"
        elif size != shape:
            wrong[position] = (
                f"it is {size[1]}x{size[2]} with {size[0]} channels, and the model takes {height}x{width} with {channels}; "
                "read it with image_size and channels set to that"
            )
    return wrong


def _wrong_vectors(features: Any, numbers: int) -> dict[int, str]:
    lengths = features.value_lengths()
    wrong = {
        int(position): f"it has {lengths[int(position)]} numbers, and the model takes {numbers}"
        for position in np.flatnonzero(lengths.fill_null(-1).to_numpy() != numbers)
    }
    wrong |= {
        int(position): "its features are not all finite numbers" for position in np.flatnonzero(~_are_finite(features))
    }
    return wrong | {
        int(position): "its features are null"
        for position in np.flatnonzero(features.is_null().to_numpy(zero_copy_only=False))
    }


def _inputs(rows: pa.RecordBatch, shape: Shape) -> npt.NDArray[Any]:
    """uint8 (examples, bytes of an image) without a copy, or float32 (examples, numbers)."""
    if len(shape) == 1:
        features: Any = rows.column("features")
        numbers: npt.NDArray[np.float32] = features.flatten().to_numpy().astype(np.float32, copy=False)
        return numbers.reshape(-1, shape[0])
    image: Any = rows.column("image")
    return _pixels(image.field("data"), shape)


def _pixels(data: Any, shape: Shape) -> npt.NDArray[np.uint8]:
    """The images as (examples, bytes of one), without a copy."""
    length = math.prod(shape)
    _, positions, content = data.buffers()
    offsets = np.frombuffer(positions, np.int32)[data.offset : data.offset + len(data) + 1]
    if (np.diff(offsets) != length).any():
        raise ValueError(f"an image of channels, height, width {shape} must have {length} bytes of data")
    pixels: npt.NDArray[np.uint8] = np.frombuffer(content or b"", np.uint8)[offsets[0] : offsets[-1]]
    return pixels.reshape(len(data), length)


def _vector_moments(numbers: npt.NDArray[np.float32]) -> tuple[list[float], list[float]]:
    """The sum of each column, and the sum of the squares of its differences from its mean."""
    exact = numbers.astype(np.float64)
    return exact.sum(axis=0).tolist(), ((exact - exact.mean(axis=0)) ** 2).sum(axis=0).tolist()


def _pixel_moments(pixels: npt.NDArray[np.uint8], channels: int) -> tuple[list[int], list[int]]:
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
