"""Rows of images to blocks of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.data.rows import IMAGE, make_bad_row, make_batches, make_row

from sparkweave.data.blocks import BAD_SHOWN, BLOCK_COLUMNS, input_rows, to_blocks


def blocks_of(
    rows: Sequence[dict[str, Any]], *, cuts: Sequence[int] = (), shards: int = 3, seed: int = 0
) -> list[dict[str, Any]]:
    return [row for batch in to_blocks(make_batches(rows, cuts), shards=shards, seed=seed) for row in batch.to_pylist()]


def examples_of(blocks: Sequence[dict[str, Any]]) -> list[tuple[int, int, str, bytes]]:
    """Every example as (shard, key, label, pixels), in order."""
    found = []
    for block in blocks:
        if not block["examples"]:
            continue
        keys, codes = np.frombuffer(block["keys"], "<u8"), np.frombuffer(block["targets"], "<i4")
        pixels = np.frombuffer(block["inputs"], np.uint8).reshape(block["examples"], -1)
        assert len(keys) == len(codes) == block["examples"]
        found += [
            (block["shard"], int(key), block["classes"][code], pixel.tobytes())
            for key, code, pixel in zip(keys, codes, pixels, strict=True)
        ]
    return sorted(found)


def test_blocks_have_the_columns_that_spark_is_told() -> None:
    (batch,) = to_blocks(make_batches([make_row(0)]), shards=1, seed=0)
    assert batch.schema.names == [column.split()[0] for column in BLOCK_COLUMNS.split(", ")]


@settings(deadline=None)
@given(
    count=st.integers(1, 40),
    cuts=st.lists(st.integers(0, 40), max_size=5),
    shuffle=st.randoms(),
    shards=st.integers(1, 5),
    seed=st.integers(0, 2**70),
)
def test_each_example_is_in_one_shard_whatever_the_order_and_the_split(
    count: int, cuts: list[int], shuffle: Any, shards: int, seed: int
) -> None:
    rows = [make_row(number) for number in range(count)]
    expected = examples_of(blocks_of(rows, shards=shards, seed=seed))
    assert sorted((label, pixels) for _, _, label, pixels in expected) == sorted(
        (row["label"], row["image"]["data"]) for row in rows
    )
    assert all(0 <= shard < shards for shard, *_ in expected)
    shuffle.shuffle(rows)
    cuts = [cut for cut in cuts if cut <= count]
    assert examples_of(blocks_of(rows, cuts=cuts, shards=shards, seed=seed)) == expected


def test_shards_are_about_even_and_another_seed_deals_otherwise() -> None:
    rows = [make_row(number) for number in range(900)]
    one, other = ({pixels: shard for shard, _, _, pixels in examples_of(blocks_of(rows, seed=seed))} for seed in (0, 1))
    assert min(np.bincount(list(one.values()))) > 240
    assert one != other


def digest_of(rows: Sequence[dict[str, Any]], **options: Any) -> int:
    return sum(block["digest"] for block in blocks_of(rows, **options)) % (1 << 64)


@given(
    count=st.integers(1, 20),
    cuts=st.lists(st.integers(0, 20), max_size=3),
    shards=st.integers(1, 5),
    shuffle=st.randoms(),
)
def test_the_digest_is_of_all_examples_in_any_order(count: int, cuts: list[int], shards: int, shuffle: Any) -> None:
    rows = [make_row(number) for number in range(count)]
    expected = digest_of(rows)
    shuffle.shuffle(rows)
    assert digest_of(rows, cuts=[cut for cut in cuts if cut <= count], shards=shards) == expected


@pytest.mark.parametrize("changed", ["label", "pixels", "path", "swapped labels", "missing", "weight", "weights"])
def test_the_digest_changes_with_whatever_training_takes(changed: str) -> None:
    rows = [make_row(number) for number in range(6)]
    before = digest_of(rows)
    match changed:
        case "label":
            rows[0]["label"] = "another"
        case "pixels":
            data = rows[0]["image"]["data"]
            rows[0]["image"] = {**rows[0]["image"], "data": data[:-1] + bytes([data[-1] ^ 1])}
        case "path":
            rows[0]["path"] = "elsewhere/0_0.png"
        case "swapped labels":
            other = next(row for row in rows if row["label"] != rows[0]["label"])
            rows[0]["label"], other["label"] = other["label"], rows[0]["label"]
        case "missing":
            del rows[0]
        case "weight":
            before = digest_of([{**row, "weight": 1.0} for row in rows])
            rows = [{**row, "weight": 1.0 + (number == 0)} for number, row in enumerate(rows)]
        case "weights":
            rows = [{**row, "weight": 1.0} for row in rows]
    assert digest_of(rows) != before


def test_where_an_archive_lies_does_not_matter_but_its_name_does() -> None:
    def keys(path: str) -> list[int]:
        return [key for _, key, *_ in examples_of(blocks_of([{**make_row(0), "path": path}]))]

    assert keys("/data/a.zip!/x/0_1.png") == keys("hdfs://host/b/a.zip!/x/0_1.png") == keys("a.zip!/x/0_1.png")
    assert keys("/data/a.zip!/x/0_1.png") != keys("/data/b.zip!/x/0_1.png")
    assert keys("/data/a.zip!/x/0_1.png") != keys("/data/a.zip!/y/0_1.png")
    assert keys("/data/x/0_1.png") != keys("/data/y/0_1.png")


@pytest.mark.parametrize("channels", [1, 3])
def test_sums_and_squares_are_exact(channels: int) -> None:
    rows = [make_row(number, size=(5, 4, channels)) for number in range(50)]
    blocks = blocks_of(rows)
    values = (
        np.stack([np.frombuffer(row["image"]["data"], np.uint8) for row in rows]).reshape(-1, channels).astype(np.int64)
    )
    assert np.sum([block["sums"] for block in blocks], axis=0).tolist() == values.sum(axis=0).tolist()
    assert np.sum([block["squares"] for block in blocks], axis=0).tolist() == (values**2).sum(axis=0).tolist()


def test_sums_stay_exact_over_many_white_pixels() -> None:
    size = (1000, 900, 1)
    row = make_row(0, size=size)
    row["image"]["data"] = b"\xff" * 900_000
    (block,) = blocks_of([{**row, "path": f"a.zip!/{number}"} for number in range(20)], shards=1)
    assert block["sums"] == [20 * 900_000 * 255]
    assert block["squares"] == [20 * 900_000 * 255**2]


def test_counts_are_of_the_shards_own_examples() -> None:
    blocks = blocks_of([make_row(number) for number in range(30)])
    for block in blocks:
        codes = np.frombuffer(block["targets"], "<i4")
        assert block["counts"] == np.bincount(codes, minlength=len(block["classes"])).tolist()


def test_images_of_different_sizes_are_in_blocks_of_their_own() -> None:
    rows = [make_row(number, size=(4, 3, 1) if number % 2 else (2, 2, 3)) for number in range(20)]
    blocks = blocks_of(rows, shards=2)
    assert {tuple(block["shape"]) for block in blocks} == {(1, 4, 3), (3, 2, 2)}
    assert len(examples_of(blocks)) == 20
    assert sorted(pixels for *_, pixels in examples_of(blocks)) == sorted(row["image"]["data"] for row in rows)


def test_unusable_rows_are_counted_and_the_first_are_named() -> None:
    rows = [make_bad_row(number) for number in range(BAD_SHOWN + 5)] + [make_row(0)]
    bad, good = blocks_of(rows, shards=1)
    assert (bad["examples"], bad["bad"], good["examples"], good["bad"]) == (0, BAD_SHOWN + 5, 1, 0)
    assert bad["bad_reasons"] == [f"/data/a.zip!/bad_{number}.png: broken" for number in range(BAD_SHOWN)]


@pytest.mark.parametrize(
    "change",
    [{"label": None}, {"image": None}, {"error": "told to be bad"}],
    ids=["no label", "no image", "an image and an error"],
)
def test_a_row_that_lacks_anything_is_unusable(change: dict[str, Any]) -> None:
    bad, good = blocks_of([{**make_row(0), **change}, make_row(1)], shards=1)
    assert bad["bad"] == 1
    assert (change.get("error") or "is null") in bad["bad_reasons"][0]
    assert good["examples"] == 1


def test_no_usable_row_gives_no_block_and_no_row_nothing() -> None:
    assert [block["bad"] for block in blocks_of([make_bad_row(0)])] == [1]
    assert blocks_of([]) == []


def test_rows_need_no_error_column() -> None:
    (batch,) = make_batches([make_row(0), make_row(1)])
    found = list(to_blocks([batch.select(["path", "label", "image"])], shards=1, seed=0))
    assert found[0].to_pylist()[0]["examples"] == 2


@pytest.mark.parametrize("change", [{"data": b"12345678901"}, {"height": None}, {"data": None}, {"channels": 0}])
def test_images_whose_data_is_not_as_long_as_it_should_be_are_bad_rows(change: dict[str, Any]) -> None:
    row = make_row(0)
    row["image"] |= change
    blocks = blocks_of([row, make_row(1)])
    assert [(block["examples"], block["bad"]) for block in blocks] == [(0, 1), (1, 0)]
    assert "height is" in blocks[0]["bad_reasons"][0]
    assert "bytes" in blocks[0]["bad_reasons"][0]


def test_input_rows_are_those_that_a_model_can_take() -> None:
    rows = [make_row(0), make_bad_row(1), make_row(2, size=(2, 2, 1)), make_bad_row(3, error=None), make_row(4)]
    pixels, chosen, errors = input_rows(make_batches(rows)[0], (1, 4, 3))
    assert chosen.tolist() == [0, 4]
    assert pixels.shape == (2, 4, 3, 1)
    assert [image.tobytes() for image in pixels] == [rows[0]["image"]["data"], rows[4]["image"]["data"]]
    assert errors[0] is errors[4] is None
    assert errors[1] == "broken"
    assert errors[2] is not None
    assert "2x2 with 1 channels, and the model takes 4x3" in errors[2]
    assert errors[3] == "its image is null"


@pytest.mark.parametrize("cut", [0, 1, 3])
def test_input_rows_of_a_slice_are_the_slices_own(cut: int) -> None:
    rows = [make_row(number) for number in range(4)] + [make_bad_row(4)]
    batch = make_batches(rows, [cut])[1]
    pixels, chosen, _ = input_rows(batch, (1, 4, 3))
    assert [image.tobytes() for image in pixels] == [row["image"]["data"] for row in rows[cut:4]]
    assert chosen.tolist() == list(range(4 - cut))


@pytest.mark.parametrize("rows", [[], [make_bad_row(0)], [make_row(0, size=(1, 1, 1))]], ids=["none", "bad", "small"])
def test_input_rows_may_be_none(rows: list[dict[str, Any]]) -> None:
    pixels, chosen, errors = input_rows(make_batches(rows)[0], (1, 4, 3))
    assert pixels.shape == (0, 4, 3, 1)
    assert len(chosen) == 0
    assert len(errors) == len(rows)


def test_input_rows_of_a_column_of_nulls_are_none() -> None:
    batch = pa.RecordBatch.from_arrays([pa.nulls(2, IMAGE)], ["image"])
    pixels, _, errors = input_rows(batch, (1, 4, 3))
    assert len(pixels) == 0
    assert errors == ["its image is null"] * 2
