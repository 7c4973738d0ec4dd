"""Which images of many are taken."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.data.rows import make_bad_row, make_batches, make_row

from sparkweave.data.blocks import KEY, path_keys
from sparkweave.data.sample import KEY_COLUMNS, keys_of, last_keys, up_to


def sample(rows: list[dict[str, Any]], cuts: list[int], *, shards: int, most: int, seed: int) -> list[dict[str, Any]]:
    batches = make_batches(rows, cuts)
    keys = [row["keys"] for batch in keys_of(batches, seed=seed) for row in batch.to_pylist()]
    last = last_keys(np.frombuffer(b"".join(keys), KEY), shards=shards, most=most)
    return [row for batch in up_to(batches, seed=seed, last=last) for row in batch.to_pylist()]


def shards_of(rows: list[dict[str, Any]], *, shards: int, seed: int) -> Counter[int]:
    keys = path_keys(pa.array([row["path"] for row in rows], pa.string()), seed)
    return Counter((keys % shards).tolist())


@settings(deadline=None)
@given(
    count=st.integers(1, 60),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    shuffle=st.randoms(),
    shards=st.integers(1, 4),
    most=st.integers(1, 20),
    seed=st.integers(0, 2**70),
)
def test_each_shard_gets_as_many_as_are_wanted_or_all_it_has_whatever_the_order_and_the_split(
    count: int, cuts: list[int], shuffle: Any, shards: int, most: int, seed: int
) -> None:
    rows = [make_row(number) for number in range(count)]
    taken = sample(rows, [], shards=shards, most=most, seed=seed)
    available = shards_of(rows, shards=shards, seed=seed)
    assert shards_of(taken, shards=shards, seed=seed) == {shard: min(most, n) for shard, n in available.items()}
    shuffle.shuffle(rows)
    cuts = [min(cut, count) for cut in cuts]
    again = sample(rows, cuts, shards=shards, most=most, seed=seed)
    assert sorted(row["path"] for row in again) == sorted(row["path"] for row in taken)


def test_images_that_cannot_be_used_are_taken_too_and_rows_are_left_as_they_are() -> None:
    rows = [make_row(0), make_bad_row(1), make_row(2)]
    assert sample(rows, [], shards=1, most=5, seed=0) == rows


def test_images_come_from_all_classes_and_another_seed_takes_others() -> None:
    rows = [make_row(number) for number in range(300)]
    taken = sample(rows, [], shards=2, most=30, seed=0)
    assert min(Counter(row["label"] for row in taken).values()) > 10
    assert taken != sample(rows, [], shards=2, most=30, seed=1)


def test_keys_have_the_columns_that_spark_is_told() -> None:
    (batch,) = keys_of(make_batches([make_row(0)]), seed=0)
    assert [f"{field.name} {field.type}" for field in batch.schema] == [KEY_COLUMNS]


def test_a_shard_without_images_takes_none() -> None:
    assert last_keys(np.array([2, 4], KEY), shards=2, most=1)[0] == 2
    assert last_keys(np.empty(0, KEY), shards=1, most=1) == (2**64 - 1,)
