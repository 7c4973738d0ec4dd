"""Tasks in a row run in one Python process, unless what lies between them is wanted or cached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from sparkweave.spark.chained import map_batches

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def add_one(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield pa.RecordBatch.from_pydict({"id": pc.add(batch.column("id"), 1)})


def python_operators(df: DataFrame) -> int:
    return df._jdf.queryExecution().analyzed().toString().count("MapInArrow")


def ids(df: DataFrame) -> list[int]:
    return sorted(row["id"] for row in df.collect())


def test_two_tasks_become_one_operator(spark: SparkSession) -> None:
    once = map_batches(spark.range(3), add_one, "id bigint")
    twice = map_batches(once, add_one, "id bigint")
    assert (python_operators(once), python_operators(twice)) == (1, 1)
    assert ids(once) == [1, 2, 3]
    assert ids(twice) == [2, 3, 4]


def test_what_was_changed_or_cached_in_between_is_not_passed_by(spark: SparkSession) -> None:
    once = map_batches(spark.range(3), add_one, "id bigint")
    changed = map_batches(once.filter("id > 1"), add_one, "id bigint")
    assert python_operators(changed) == 2
    assert ids(changed) == [3, 4]
    once.persist()
    try:
        on_cached = map_batches(once, add_one, "id bigint")
        assert python_operators(on_cached) == 2
        assert ids(on_cached) == [2, 3, 4]
    finally:
        once.unpersist()
