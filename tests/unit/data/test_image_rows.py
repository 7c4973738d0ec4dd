from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sparkweave.data import image_rows
from sparkweave.data.image_rows import IMAGE_ROWS, DecodeOptions, decode_entries, image_array, usable_rows
from sparkweave.data.splits import plan_splits, read_split
from sparkweave.errors import ConfigError
from sparkweave.filesystem import LocalFileSystem
from sparkweave.testing.archives import HOSTILE_ENTRIES, encode_image, make_image, write_image_archive


def rows_of(path: Path, options: DecodeOptions | None = None) -> list[dict[str, Any]]:
    options, fs = options or DecodeOptions(), LocalFileSystem()
    batches = [
        batch
        for split in plan_splits(fs, [str(path)], count=2, min_bytes=1)
        for batch in decode_entries(str(path), read_split(fs, split, options.limits), options)
    ]
    for batch in batches:
        batch.validate(full=True)
    return pa.Table.from_batches(batches, IMAGE_ROWS).to_pylist()


def test_rows_hold_path_label_and_pixels(tmp_path: Path) -> None:
    write_image_archive(path := tmp_path / "a.zip", labels=("cat", "dog"), images_per_label=2, size=(5, 4), channels=3)
    rows = rows_of(path)
    assert [(row["path"], row["label"], row["error"]) for row in rows] == [
        (f"{path}!/{label}_000{number}.png", label, None) for label in ("cat", "dog") for number in (0, 1)
    ]
    pixels = make_image(1, 1, size=(5, 4), channels=3)
    assert rows[3]["image"] == {"height": 5, "width": 4, "channels": 3, "data": pixels.tobytes()}


@pytest.mark.parametrize("fault", HOSTILE_ENTRIES)
def test_a_bad_entry_is_a_row_without_an_image_and_with_a_reason(tmp_path: Path, fault: str) -> None:
    HOSTILE_ENTRIES[fault](str(tmp_path / "bad.zip"))
    rows = rows_of(tmp_path / "bad.zip")
    bad = [row for row in rows if row["error"]]
    assert 0 < len(bad) < len(rows)
    assert all(row["image"] is None for row in bad)
    assert all(row["image"]["data"] for row in rows if not row["error"])


def test_batches_are_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_rows, "BATCH_BYTES", 5_000)
    content = encode_image(make_image(0))
    batches = list(decode_entries("a.zip", ((f"0_{i}.png", content, None) for i in range(20)), DecodeOptions()))
    assert [batch.num_rows for batch in batches] == [6, 6, 6, 2]


def test_an_image_array_mixes_sizes_and_nulls() -> None:
    small, large = make_image(0, size=(2, 3)), make_image(0, size=(4, 4), channels=3)
    array = image_array([small, None, large])
    array.validate(full=True)
    assert array.to_pylist() == [
        {"height": 2, "width": 3, "channels": 1, "data": small.tobytes()},
        None,
        {"height": 4, "width": 4, "channels": 3, "data": large.tobytes()},
    ]
    assert image_array([None]).to_pylist() == [None]


def test_images_are_resized_on_request(tmp_path: Path) -> None:
    write_image_archive(path := tmp_path / "a.zip", images_per_label=1)
    image = rows_of(path, DecodeOptions(height=7, width=9, channels=3))[0]["image"]
    assert (image["height"], image["width"], image["channels"], len(image["data"])) == (7, 9, 3, 189)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"height": 7}, "both height and width"),
        ({"height": 0, "width": 3}, "height is 0"),
        ({"channels": 4}, "channels is 4"),
        ({"height": 40000, "width": 40000}, "40000 x 40000; an image may have 50,000,000 pixels at most"),
    ],
)
def test_options_are_checked(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        DecodeOptions(**options)


def test_rows_of_another_reader_follow_the_same_rules() -> None:
    names = ("0_1.png", ".DS_Store", "0_1.png", "a/", "0_2.txt")
    rows = list(usable_rows((f"a.zip!/{name}", b"x", None) for name in names))
    assert [(path, content) for path, content, _ in rows] == [
        ("a.zip!/0_1.png", b"x"),
        ("a.zip!/0_1.png", None),
        ("a.zip!/0_2.txt", None),
    ]
    assert np.all([reason is not None for _, content, reason in rows if content is None])
