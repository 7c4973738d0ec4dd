"""Names for Spark's jobs, so that the web UI reads like the program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession

GROUP = "sparkweave"


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
