"""Names for Spark's jobs, so that the web UI reads like the program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession

GROUP = "sparkweave"
_BATCH_ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch"


@contextmanager
def described(spark: SparkSession, text: str) -> Iterator[None]:
    """Jobs started inside are shown as ``sparkweave: text`` and can be cancelled by the group `GROUP`."""
    context = spark.sparkContext
    context.setJobGroup(GROUP, f"sparkweave: {text}", interruptOnCancel=True)
    try:
        yield
    finally:
        if context._jsc is not None:
            for name in ("spark.jobGroup.id", "spark.job.description", "spark.job.interruptOnCancel"):
                context.setLocalProperty(name, None)  # type: ignore[arg-type]


@contextmanager
def small_batches(spark: SparkSession) -> Iterator[None]:
    """Rows of blocks go to Python one by one: Spark counts 10,000 rows a batch, and a block has megabytes."""
    before = spark.conf.get(_BATCH_ROWS) or "10000"
    spark.conf.set(_BATCH_ROWS, "1")
    try:
        yield
    finally:
        if spark.sparkContext._jsc is not None:
            spark.conf.set(_BATCH_ROWS, before)
