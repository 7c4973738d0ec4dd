"""Rows of decoded images as Arrow batches, without an archive."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

IMAGE = pa.struct([("height", pa.int32()), ("width", pa.int32()), ("channels", pa.int32()), ("data", pa.binary())])
ROWS = pa.schema([("path", pa.string()), ("label", pa.string()), ("image", IMAGE), ("error", pa.string())])


def make_row(number: int, *, label: str | None = None, size: tuple[int, int, int] = (4, 3, 1)) -> dict[str, Any]:
    """A row of a good image whose pixels tell its number."""
    pixels = np.random.default_rng(number).integers(0, 256, size, np.uint8)
    image = dict(zip(("height", "width", "channels"), size, strict=True), data=pixels.tobytes())
    label = str(number % 3) if label is None else label
    return {"path": f"/data/a.zip!/{label}_{number}.png", "label": label, "image": image, "error": None}


def make_bad_row(number: int, error: str | None = "broken") -> dict[str, Any]:
    return {"path": f"/data/a.zip!/bad_{number}.png", "label": "bad", "image": None, "error": error}


def make_batches(rows: Sequence[dict[str, Any]], cuts: Iterable[int] = ()) -> list[pa.RecordBatch]:
    """``rows`` cut at the given positions; slices of one batch, as Spark may pass them."""
    schema = ROWS.append(pa.field("weight", pa.float64())) if any("weight" in row for row in rows) else ROWS
    whole = pa.RecordBatch.from_pylist(list(rows), schema=schema)
    bounds = [0, *sorted(cuts), len(rows)]
    return [whole.slice(start, stop - start) for start, stop in itertools.pairwise(bounds)]
