"""A DataFrame of images, dealt out to the workers: one partition is one worker's shard, kept by Spark between segments."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyspark
from pyspark.sql import DataFrame

from sparkweave.data.blocks import BLOCK_COLUMNS, to_blocks
from sparkweave.data.summary import SUMMARY_COLUMNS, DatasetSummary, summarize
from sparkweave.errors import ConfigError, DataError
from sparkweave.spark.chained import bound, map_batches
from sparkweave.spark.jobs import described
from sparkweave.spark.python_worker import freeze_imports
from sparkweave.spark.session import has_ended

Dealt = tuple[DataFrame, DatasetSummary]
"""Blocks of images, partition ``i`` holding shard ``i``; and what the images are."""

_INPUTS = ("image", "features")


def storage_level(name: str) -> pyspark.StorageLevel:
    """The storage level of this name.

    Raises:
        ConfigError: if Spark has none.
    """
    levels = [level for level in vars(pyspark.StorageLevel) if level.isupper()]
    if name not in levels:
        raise ConfigError(f"storage level is {name!r}; choose one of {', '.join(sorted(levels))}")
    level: pyspark.StorageLevel = getattr(pyspark.StorageLevel, name)
    return level


def require_examples(df: DataFrame) -> None:
    """Raises DataError unless ``df`` has the columns of `read_image_archives`, or ``features`` instead of ``image``."""
    missing = [name for name in ("path", "label") if name not in df.columns]
    if not any(name in df.columns for name in _INPUTS):
        missing.append("image")
    if missing:
        raise DataError(
            f"the DataFrame has no column {', '.join(missing)} (it has {', '.join(df.columns)}); "
            "give what read_image_archives returns: path, label, image"
        )


@contextmanager
def sharded(df: DataFrame, *, shards: int, seed: int, level: str, max_bad_fraction: float) -> Iterator[Dealt]:
    """The images as blocks, partition ``i`` holding shard ``i``, persisted while the context lasts; and their summary.

    Args:
        df: See `sparkweave.data.blocks.to_blocks`.
        shards: How many workers there are.
        seed: Of the assignment.
        level: Name of the storage level.
        max_bad_fraction: Share of unusable rows that is left out.

    Raises:
        DataError: see `summarize`.
    """
    blocks = _blocks(df, shards, seed).repartitionById(shards, "shard").persist(storage_level(level))
    try:
        with described(df.sparkSession, "reading, decoding and dealing out the images"):
            rows = blocks.select(*SUMMARY_COLUMNS).collect()
        yield blocks, summarize((row.asDict() for row in rows), shards=shards, max_bad_fraction=max_bad_fraction)
    finally:
        unpersist(blocks)


def summarized(df: DataFrame, *, max_bad_fraction: float) -> DatasetSummary:
    """What the images of ``df`` are.

    Raises:
        DataError: see `summarize`.
    """
    with described(df.sparkSession, "reading and decoding the test images"):
        rows = _blocks(df, 1, 0).select(*SUMMARY_COLUMNS).collect()
    return summarize((row.asDict() for row in rows), shards=1, max_bad_fraction=max_bad_fraction)


def deal_out(batches: Iterable[pa.RecordBatch], *, shards: int, seed: int) -> Iterator[pa.RecordBatch]:
    """Task: `to_blocks`, where training will be possible too; better refused now than when all is read."""
    if importlib.util.find_spec("torch") is None:
        raise ModuleNotFoundError(f"No module named 'torch' (host {socket.gethostname()})")
    freeze_imports()
    return to_blocks(batches, shards=shards, seed=seed)


def example_columns(df: DataFrame) -> DataFrame:
    """``df`` without the columns that are no business of ours."""
    unneeded = [name for name in df.columns if name not in ("path", "label", *_INPUTS, "weight", "error")]
    return df.drop(*unneeded) if unneeded else df


def _blocks(df: DataFrame, shards: int, seed: int) -> DataFrame:
    require_examples(df)
    return map_batches(example_columns(df), bound(deal_out, shards=shards, seed=seed), BLOCK_COLUMNS)


def unpersist(df: DataFrame) -> None:
    """Forgets what Spark keeps of ``df``, unless the session has ended already."""
    if not has_ended(df.sparkSession):
        df.unpersist()
