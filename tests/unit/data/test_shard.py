"""Draining a shard into a memory map."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.data.rows import make_bad_row, make_batches, make_row

from sparkweave.data.blocks import to_blocks
from sparkweave.data.shard import Shard, drain, local_directory
from sparkweave.errors import ResourceError

LABELS = ("0", "1", "2")


def drained(
    rows: Sequence[dict[str, Any]],
    cuts: Sequence[int] = (),
    *,
    rank: int = 0,
    shards: int = 1,
    directory: str | None = None,
) -> Shard:
    blocks = [
        batch.filter(
            pa.array(
                [
                    shard == rank or not examples
                    for shard, examples in zip(batch["shard"].to_pylist(), batch["examples"].to_pylist(), strict=True)
                ]
            )
        )
        for batch in to_blocks(make_batches(rows, cuts), shards=shards, seed=0)
    ]
    return drain(blocks, rank=rank, labels=LABELS, shape=(1, 4, 3), directory=directory)


def content(shard: Shard) -> list[tuple[int, bytes]]:
    return [(int(shard.targets[position]), shard.inputs[position].tobytes()) for position in shard.order]


def test_examples_arrive_whole() -> None:
    rows = [make_row(number) for number in range(20)]
    shard = drained(rows, [7])
    assert len(shard) == 20
    assert shard.inputs.shape == (20, 4, 3, 1)
    assert (shard.inputs.dtype, shard.targets.dtype, shard.order.dtype) == (np.uint8, np.int64, np.int64)
    assert sorted(content(shard)) == sorted((LABELS.index(row["label"]), row["image"]["data"]) for row in rows)


@settings(deadline=None)
@given(
    numbers=st.lists(st.integers(0, 30), max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=4),
    shuffle=st.randoms(),
)
def test_a_shard_is_the_same_whatever_the_order_and_the_split(
    numbers: list[int], cuts: list[int], shuffle: Any
) -> None:
    rows = [make_row(number) for number in numbers]
    expected = content(drained(rows))
    shuffle.shuffle(rows)
    assert content(drained(rows, [cut for cut in cuts if cut <= len(rows)])) == expected


def test_examples_that_share_a_path_are_ordered_by_what_they_are() -> None:
    rows = [{**make_row(number), "path": "a.zip!/same.png"} for number in range(8)]
    assert content(drained(rows)) == content(drained(rows[::-1], [3]))


def test_a_shard_may_be_empty_and_unusable_rows_are_passed_over() -> None:
    for rows in ([], [make_bad_row(0)]):
        shard = drained(rows)
        assert len(shard) == 0
        assert shard.inputs.shape == (0, 4, 3, 1)


def test_no_file_is_left_even_while_the_shard_is_in_use(tmp_path: Path) -> None:
    shard = drained([make_row(number) for number in range(5)], directory=str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert isinstance(shard.inputs, np.memmap)
    assert len(content(shard)) == 5


def test_no_descriptor_is_left_once_the_shard_is_gone(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    shard = drained([make_row(number) for number in range(5)], directory=str(tmp_path))
    del shard
    assert len(os.listdir("/proc/self/fd")) <= before


def test_the_map_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        drained([make_row(0)]).inputs[0] = 0


def test_a_block_of_another_shard_is_an_error() -> None:
    rows = [make_row(number) for number in range(20)]
    blocks = list(to_blocks(make_batches(rows), shards=2, seed=0))
    with pytest.raises(ValueError, match="a block of shard 1 came to rank 0"):
        drain(blocks, rank=0, labels=LABELS, shape=(1, 4, 3))


class FullFile:
    """A file on a full disk."""

    def __init__(self, **_: Any) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, _: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_named_with_a_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", FullFile)
    with pytest.raises(
        ResourceError, match=rf"rank 0 can't write its shard to {tmp_path} \(No space left.*spark.local.dir"
    ):
        drained([make_row(0)], directory=str(tmp_path))


def test_a_missing_directory_is_named() -> None:
    with pytest.raises(ResourceError, match=r"to /nowhere/at/all \(No such file"):
        drained([make_row(0)], directory="/nowhere/at/all")


def test_an_error_of_the_input_is_not_taken_for_one_of_the_disk() -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from to_blocks(make_batches([make_row(0)]), shards=1, seed=0)
        raise ConnectionResetError("the JVM is gone")

    with pytest.raises(ConnectionResetError, match="the JVM is gone"):
        drain(broken(), rank=0, labels=LABELS, shape=(1, 4, 3))


def test_sparks_first_local_directory_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPARK_LOCAL_DIRS", f"{tmp_path},/other")
    assert local_directory() == str(tmp_path)


@pytest.mark.parametrize("value", ["", "/nowhere/at/all"])
def test_elsewhere_it_is_the_systems_temporary_directory(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SPARK_LOCAL_DIRS", value)
    assert local_directory() == tempfile.gettempdir()
