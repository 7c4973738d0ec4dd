"""A few images of a DataFrame, and all shards' images on the driver."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from sparkweave.data.blocks import KEY
from sparkweave.data.sample import KEY_COLUMNS, keys_of, last_keys, up_to
from sparkweave.data.shard import PAYLOAD, Shard, drain
from sparkweave.spark.chained import bound, map_batches
from sparkweave.spark.dataset import example_columns, require_examples
from sparkweave.spark.jobs import described
from sparkweave.training.task import SegmentTask


def sampled(df: DataFrame, *, shards: int, most: int, seed: int) -> DataFrame:
    """Images of ``df``, ``most`` for each shard if there are as many: see `sparkweave.data.sample`. Reads all of them once.

    Args:
        df: As `read_image_archives` returns it.
        shards: How many workers there are.
        most: Images of each.
        seed: Of the assignment to shards, and of the choice.

    Raises:
        DataError: if ``df`` has other columns.
    """
    require_examples(df)
    images = example_columns(df)
    with described(df.sparkSession, "choosing images"):
        rows = map_batches(images, bound(keys_of, seed=seed), KEY_COLUMNS).collect()
    keys = np.concatenate([np.empty(0, KEY), *(np.frombuffer(row["keys"], KEY) for row in rows)])
    last = last_keys(keys, shards=shards, most=most)
    return map_batches(images, bound(up_to, seed=seed, last=last), images.schema)


def collected(blocks: DataFrame, task: SegmentTask) -> Shard:
    """All shards' examples in a file of this machine, one shard's after the other's, see `sparkweave.training.one_process.parts`.

    Args:
        blocks: See `sparkweave.spark.dataset.sharded`.
        task: Of a segment over them.
    """
    with described(blocks.sparkSession, "bringing the images to the driver"):
        return drain(_as_one(blocks), rank=0, labels=task.labels, shape=task.input_shape)


def _as_one(blocks: DataFrame) -> Iterator[pa.RecordBatch]:
    """The blocks in the order of their shards, as if there were one."""
    last = 0
    for row in blocks.select("shard", "examples", *PAYLOAD).where("examples > 0").toLocalIterator():
        assert row["shard"] >= last, "partitions come in the order of the shards"
        last = row["shard"]
        yield pa.RecordBatch.from_pylist([{**row.asDict(), "shard": 0}])
