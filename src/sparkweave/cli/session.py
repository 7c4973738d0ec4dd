"""The Spark session of one command."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sparkweave.cli.options import session_conf

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@contextlib.contextmanager
def spark_session(master: str | None, conf: Sequence[tuple[str, str]], *, debug: bool) -> Iterator[SparkSession]:
    """A session for the command; one that was already running is left running.

    On an interrupt its jobs are cancelled first, so that no worker goes on alone.
    """
    from pyspark import SparkContext

    from sparkweave.spark.session import build_session

    was_running = SparkContext._active_spark_context is not None
    session = build_session(master, session_conf(conf, debug=debug))
    try:
        yield session
    except KeyboardInterrupt:
        with contextlib.suppress(Exception):
            session.sparkContext.cancelAllJobs()
        raise
    finally:
        if not was_running:
            with contextlib.suppress(Exception):
                session.stop()
