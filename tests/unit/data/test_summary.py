"""What a set of images is, and whether it can be trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from tests.unit.data.rows import make_bad_row, make_batches, make_row

from sparkweave.data.blocks import BAD_SHOWN, to_blocks
from sparkweave.data.summary import (
    SUMMARY_COLUMNS,
    DatasetSummary,
    check_bad,
    check_test,
    check_trainable,
    summarize,
)
from sparkweave.errors import DataError, LabelError


def summary_of(rows: Sequence[dict[str, Any]], *, shards: int = 2, max_bad_fraction: float = 0.0) -> DatasetSummary:
    batches = list(to_blocks(make_batches(rows, [len(rows) // 2]), shards=shards, seed=0))
    blocks = [row for batch in batches for row in batch.select(list(SUMMARY_COLUMNS)).to_pylist()]
    return summarize(blocks, shards=shards, max_bad_fraction=max_bad_fraction)


SUMMARY = DatasetSummary(
    sizes=(4, 5), shape=(1, 4, 3), labels=("0", "1"), counts={"0": 5, "1": 4}, mean=(0.5,), deviation=(0.2,)
)


def test_sizes_labels_and_counts_add_up() -> None:
    summary = summary_of([make_row(number, label=str([2, 10, 2, 7][number % 4])) for number in range(40)])
    assert summary.examples == sum(summary.sizes) == 40
    assert summary.labels == ("2", "7", "10")
    assert summary.counts == {"2": 20, "7": 10, "10": 10}
    assert summary.shape == (1, 4, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_mean_and_deviation_are_those_of_all_pixels(channels: int) -> None:
    rows = [make_row(number, size=(4, 3, channels)) for number in range(30)]
    values = np.stack([np.frombuffer(row["image"]["data"], np.uint8) for row in rows]).reshape(-1, channels) / 255
    summary = summary_of(rows)
    assert summary.mean == pytest.approx(tuple(values.mean(axis=0)))
    assert summary.deviation == pytest.approx(tuple(values.std(axis=0)))


@pytest.mark.parametrize("value", [0, 7, 255])
def test_images_of_one_value_have_a_deviation_to_divide_by(value: int) -> None:
    rows = [make_row(number) for number in range(6)]
    for row in rows:
        row["image"]["data"] = bytes([value]) * 12
    summary = summary_of(rows)
    assert summary.mean == pytest.approx((value / 255,))
    assert summary.deviation == (1.0,)


def test_a_shard_may_be_empty() -> None:
    summary = summary_of([make_row(0), make_row(1)], shards=50)
    assert len(summary.sizes) == 50
    assert sum(summary.sizes) == 2


def test_unusable_rows_within_the_limit_are_counted_and_named() -> None:
    rows = [make_row(number) for number in range(9)] + [make_bad_row(0)]
    summary = summary_of(rows, max_bad_fraction=0.1)
    assert (summary.examples, summary.bad) == (9, 1)
    assert summary.bad_reasons == ("/data/a.zip!/bad_0.png: broken",)


def test_unusable_rows_over_the_limit_are_refused_by_name() -> None:
    rows = [make_row(number) for number in range(9)] + [make_bad_row(0)]
    with pytest.raises(
        DataError, match=r"1 of 10 images can't be used:\n  /data/a\.zip!/bad_0\.png: broken\nAt most .* 0\.09"
    ):
        summary_of(rows, max_bad_fraction=0.09)


def test_of_many_unusable_rows_the_rest_is_counted() -> None:
    reasons = [f"image {number}" for number in range(BAD_SHOWN)]
    with pytest.raises(DataError, match=r"(?s)1,025 of 2,000 images .*image 19\n  … and 1,005 more\n"):
        check_bad(1025, 2000, reasons, 0.5)


@pytest.mark.parametrize(("bad", "rows", "fraction"), [(0, 0, 0.0), (0, 10, 0.0), (1, 10, 0.1), (5, 10, 0.5)])
def test_a_share_up_to_the_limit_passes(bad: int, rows: int, fraction: float) -> None:
    check_bad(bad, rows, (), fraction)


@pytest.mark.parametrize("rows", [[], [make_bad_row(0)]], ids=["none", "bad"])
def test_not_one_usable_image_is_an_error(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(DataError, match="not one usable example; give archives of PNG or JPEG"):
        summary_of(rows, max_bad_fraction=0.99) if not rows else summarize(
            [{"examples": 0, "bad": 0, "bad_reasons": None}], shards=1, max_bad_fraction=0.0
        )


def test_all_images_unusable_are_an_error_whatever_the_limit() -> None:
    with pytest.raises(DataError, match="1 of 1 images can't be used"):
        summary_of([make_bad_row(0)], max_bad_fraction=0.99)


def test_images_of_different_sizes_are_refused_with_a_count_of_each() -> None:
    rows = [make_row(number, size=(4, 3, 3) if number < 3 else (2, 2, 1)) for number in range(10)]
    with pytest.raises(DataError, match="7 of 2x2 with 1 channel, 3 of 4x3 with 3 channels; give --image-size"):
        summary_of(rows)


def test_one_label_is_not_enough_to_train() -> None:
    with pytest.raises(LabelError, match="all 9 images have the label '0'; at least two classes"):
        check_trainable(dataclasses.replace(SUMMARY, labels=("0",)), 2)


def test_every_worker_needs_an_image() -> None:
    check_trainable(SUMMARY, 9)
    with pytest.raises(DataError, match="9 images for 10 workers; give at least one a worker"):
        check_trainable(SUMMARY, 10)


def test_test_images_must_be_of_the_training_images_size() -> None:
    check_test(SUMMARY, SUMMARY)
    with pytest.raises(DataError, match=r"test images are .* \(3, 4, 3\), the training images \(1, 4, 3\)"):
        check_test(dataclasses.replace(SUMMARY, shape=(3, 4, 3)), SUMMARY)


def test_test_images_may_lack_classes_but_not_bring_new_ones() -> None:
    check_test(dataclasses.replace(SUMMARY, labels=("1",)), SUMMARY)
    with pytest.raises(LabelError, match="1 labels of the test images are not among the training images: '2'"):
        check_test(dataclasses.replace(SUMMARY, labels=("0", "2")), SUMMARY)
