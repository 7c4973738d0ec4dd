"""Vectors and numbers on their way from rows to a shard."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparkweave.data.batches import Normalization
from sparkweave.data.blocks import BLOCK_COLUMNS, input_rows, to_blocks
from sparkweave.data.shard import drain
from sparkweave.data.summary import DatasetSummary, summarize
from sparkweave.errors import DataError

ROWS = pa.schema(
    [
        ("path", pa.string()),
        ("label", pa.float64()),
        ("features", pa.list_(pa.float32())),
        ("weight", pa.float64()),
    ]
)


def make_rows(count: int, *, numbers: int = 3) -> list[dict[str, Any]]:
    generator = np.random.default_rng(count)
    return [
        {
            "path": f"row {number}",
            "label": 1e6 + 100 * number,
            "features": (1e4 + generator.normal(size=numbers)).astype(np.float32).tolist(),
            "weight": float(number % 3),
        }
        for number in range(count)
    ]


def blocks_of(rows: list[dict[str, Any]], cuts: tuple[int, ...] = (), *, shards: int = 1) -> list[pa.RecordBatch]:
    whole = pa.RecordBatch.from_pylist(rows, schema=ROWS)
    bounds = [0, *cuts, len(rows)]
    parts = [whole.slice(start, stop - start) for start, stop in itertools.pairwise(bounds)]
    return list(to_blocks(parts, shards=shards, seed=1))


def summary_of(blocks: list[pa.RecordBatch], *, shards: int = 1, allowed: float = 0.0) -> DatasetSummary:
    rows = [row for block in blocks for row in block.to_pylist()]
    return summarize(rows, shards=shards, max_bad_fraction=allowed)


def test_a_shard_has_every_row_with_its_number_and_weight() -> None:
    rows = make_rows(50)
    blocks = blocks_of(rows, (13, 14), shards=2)
    assert blocks[0].schema.names == [column.split()[0] for column in BLOCK_COLUMNS.split(", ")]
    shards = []
    for rank in range(2):
        mine = [block.filter(pa.compute.equal(block.column("shard"), rank)) for block in blocks]
        shards.append(drain(mine, rank=rank, labels=(), shape=(3,)))
    found = {
        (float(target), float(weight), *inputs.tolist())
        for shard in shards
        for target, weight, inputs in zip(shard.targets, shard.weights, shard.inputs, strict=True)
    }
    assert found == {(row["label"], row["weight"], *row["features"]) for row in rows}
    assert all(shard.inputs.dtype == shard.targets.dtype == np.float32 for shard in shards)


@given(st.sets(st.integers(1, 39), max_size=5))
def test_mean_and_deviation_do_not_depend_on_how_rows_are_cut(cuts: set[int]) -> None:
    rows = make_rows(40)
    found = summary_of(blocks_of(rows, tuple(sorted(cuts))))
    assert found == summary_of(blocks_of(rows))
    inputs = np.array([row["features"] for row in rows])
    np.testing.assert_allclose(found.mean, inputs.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found.deviation, inputs.std(axis=0), rtol=1e-5)
    assert found.target is not None
    assert found.target.mean == pytest.approx(np.mean([row["label"] for row in rows]), rel=1e-5)
    assert found.target.deviation == pytest.approx(np.std([row["label"] for row in rows]), rel=1e-5)
    assert found.mean_weight == pytest.approx(np.mean([row["weight"] for row in rows]), rel=1e-5)


def test_a_number_that_never_changes_has_a_deviation_to_divide_by() -> None:
    rows = [{**row, "features": [1.0, 2.0, 3.0], "label": 4.0} for row in make_rows(5)]
    found = summary_of(blocks_of(rows))
    assert found.deviation == (1.0, 1.0, 1.0)
    assert found.target is not None
    assert found.target.deviation == 1.0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"features": None}, "its features is null"),
        ({"features": [1.0, None, 2.0]}, "its features are not all finite numbers"),
        ({"features": [1.0, math.inf, 2.0]}, "its features are not all finite numbers"),
        ({"label": None}, "its label is null"),
        ({"label": math.nan}, "its label is nan; it must be finite"),
        ({"weight": -1.0}, "its weight is -1.0; it must be a finite number of at least 0"),
        ({"weight": None}, "its weight is None; it must be"),
        ({"weight": 1e39}, r"its weight is 1e\+39; it must be"),
        ({"label": 1e39}, r"its label is 1e\+39; it must be finite"),
        ({"features": []}, "it has no numbers"),
    ],
)
def test_unusable_rows_are_named(change: dict[str, Any], reason: str) -> None:
    rows = make_rows(8)
    rows[3] |= change
    blocks = blocks_of(rows, (2,))
    with pytest.raises(DataError, match=f"row 3: {reason}"):
        summary_of(blocks)
    assert summary_of(blocks, allowed=0.5).examples == 7


def test_large_numbers_that_differ_little_are_standardized() -> None:
    rows = [
        {**row, "features": [1234560.0 + number % 5, 3.0], "label": 1.7e6 + 600.0 * (number % 2)}
        for number, row in enumerate(make_rows(40, numbers=2))
    ]
    found = summary_of(blocks_of(rows))
    inputs = torch.tensor([row["features"] for row in rows])
    standardized = Normalization(found.mean, found.deviation)(inputs)
    torch.testing.assert_close(standardized.mean(dim=0), torch.zeros(2), atol=1e-3, rtol=0)
    assert standardized[:, 0].std(correction=0).item() == pytest.approx(1, rel=1e-3)
    assert found.target is not None
    assert abs(found.target.mean - (1.7e6 + 300)) < 1


def test_vectors_of_different_lengths_are_refused() -> None:
    rows = make_rows(3) + [{**row, "path": f"long {row['path']}"} for row in make_rows(2, numbers=4)]
    with pytest.raises(DataError, match="the vectors differ in length: 3 of 3 numbers, 2 of 4 numbers"):
        summary_of(blocks_of(rows))


def test_weights_must_not_all_be_0() -> None:
    with pytest.raises(DataError, match="the weights of all examples are 0"):
        summary_of(blocks_of([{**row, "weight": 0.0} for row in make_rows(4)]))


def test_rows_that_a_model_cannot_take_have_a_reason() -> None:
    rows = make_rows(6)
    rows[0]["features"] = None
    rows[2]["features"] = [1.0]
    rows[4]["features"] = [1.0, math.nan, 2.0]
    inputs, chosen, errors = input_rows(pa.RecordBatch.from_pylist(rows, schema=ROWS).slice(0, 5), (3,))
    assert chosen.tolist() == [1, 3]
    assert inputs.tolist() == [rows[1]["features"], rows[3]["features"]]
    assert errors == [
        "its features are null",
        None,
        "it has 1 numbers, and the model takes 3",
        None,
        "its features are not all finite numbers",
    ]
