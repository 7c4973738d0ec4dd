"""Names for Spark's jobs, so that the web UI reads like the program."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from sparkweave.errors import ResourceError
from sparkweave.spark.failures import unfit_executor
from sparkweave.spark.runtime import runtime_of
from sparkweave.spark.session import has_ended

GROUP = "sparkweave"
_BATCH_ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch"
_lock = threading.Lock()
_inside: list[SparkSession] = []
_before: list[str] = []


@contextmanager
def described(spark: SparkSession, text: str) -> Iterator[None]:
    """Jobs started inside are shown as ``sparkweave: text`` and can be cancelled by the group `GROUP`.

    Raises:
        ResourceError: if a job fails because an executor's Python is not as the driver's; no retry would help.
    """
    with runtime_of(spark).named(GROUP, f"sparkweave: {text}"):
        try:
            yield
        except (PySparkException, Py4JError) as error:
            if (problem := unfit_executor(str(error))) is not None:
                raise ResourceError(problem) from error
            raise


@contextmanager
def small_batches(spark: SparkSession) -> Iterator[None]:
    """Rows of blocks go to Python one by one: Spark counts 10,000 rows a batch, and a block has megabytes."""
    with _lock:
        if not _inside:
            _before.append(spark.conf.get(_BATCH_ROWS) or "10000")
            spark.conf.set(_BATCH_ROWS, "1")
        _inside.append(spark)
    try:
        yield
    finally:
        with _lock:
            _inside.remove(spark)
            if not _inside and (before := _before.pop()) and not has_ended(spark):
                spark.conf.set(_BATCH_ROWS, before)
