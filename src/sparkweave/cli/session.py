"""The Spark session of one command."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sparkweave.cli.options import session_conf

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@contextlib.contextmanager
def spark_session(master: str | None, conf: Sequence[tuple[str, str]], *, debug: bool) -> Iterator[SparkSession]:
    """A session for the command; one that was already running is left running."""
    from pyspark import SparkContext

    from sparkweave.spark.session import build_session

    was_running = SparkContext._active_spark_context is not None
    if not debug:
        logging.getLogger().addFilter(_is_worth_showing)
        logging.getLogger("py4j").setLevel(logging.CRITICAL)
    session = build_session(master, session_conf(conf, debug=debug))
    try:
        yield session
    finally:
        if not was_running:
            with contextlib.suppress(Exception):
                session.stop()
        logging.getLogger().removeFilter(_is_worth_showing)


def _is_worth_showing(record: logging.LogRecord) -> bool:
    """Not so py4j's tracebacks of calls that an interrupt cut short; it logs them, on the root logger too, before it raises."""
    return f"{os.sep}py4j{os.sep}" not in record.pathname
