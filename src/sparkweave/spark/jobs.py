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
_BATCH_BYTES, _MOST_BYTES = "spark.sql.execution.arrow.maxBytesPerBatch", 16 << 20
_BATCH_ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch"
_lock = threading.Lock()
_bounded: dict[SparkSession, tuple[int, str]] = {}


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
    """Blocks go to Python a few megabytes at a time: Spark counts 10,000 rows a batch, and a block has megabytes.

    Older versions of Spark know no bound of bytes; there, it is row by row.
    """
    name, value = (_BATCH_BYTES, str(_MOST_BYTES)) if spark.conf.get(_BATCH_BYTES, None) else (_BATCH_ROWS, "1")
    with _lock:
        users, before = _bounded.get(spark, (0, ""))
        if not users:
            before = spark.conf.get(name) or "10000"
            spark.conf.set(name, value)
        _bounded[spark] = users + 1, before
    try:
        yield
    finally:
        with _lock:
            users, before = _bounded.pop(spark)
            if users > 1:
                _bounded[spark] = users - 1, before
            elif not has_ended(spark):
                spark.conf.set(name, before)
