"""What a session can tell and do beside running queries: through its JVM, or, over Spark Connect, without one."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Protocol

from pyspark.sql import SparkSession

from sparkweave.errors import ResourceError


class Shared(Protocol):
    """A value that all tasks read; given back once they are done."""

    @property
    def value(self) -> Any:
        """In a task as on the driver."""

    def destroy(self) -> None:
        """Forgets it."""


class Runtime(Protocol):
    """The driver's side of one session."""

    def settings(self) -> Mapping[str, str]:
        """Those the session was started with."""

    def has_ended(self) -> bool:
        """Whether it was stopped, by this program or from outside."""

    def slots(self) -> int | None:
        """How many tasks the registered executors run at once; None where that can't be known."""

    def parallelism(self) -> int:
        """How many tasks suit data that was not cut by anybody."""

    def loss_reasons(self, since: float) -> list[str]:
        """Why executors were lost since a time of `time.time`, in Spark's words; none where that can't be known."""

    def driver_host(self) -> str:
        """The host of Spark's driver, as executors know it."""

    def own_address(self) -> tuple[str, str | None]:
        """The host that workers call this program by, and the address to listen on, if that is another one."""

    def share(self, *values: Any) -> list[Shared]:
        """For all tasks of one job: bytes, or mappings of bytes."""

    def named(self, group: str, text: str) -> contextlib.AbstractContextManager[None]:
        """Jobs started inside are shown as ``text`` and belong to ``group``, as far as the session has such."""

    def tagged(self, tag: str) -> contextlib.AbstractContextManager[None]:
        """Jobs started inside can be cancelled by this tag."""

    def cancel(self, tag: str) -> None:
        """Cancels the jobs with this tag, if there are any."""


def is_connect(spark: SparkSession) -> bool:
    """Whether the session is a client of Spark Connect's, so that there is no JVM here."""
    return type(spark).__module__.startswith("pyspark.sql.connect.")


def runtime_of(spark: SparkSession) -> Runtime:
    """What ``spark`` can tell and do."""
    if is_connect(spark):
        from sparkweave.spark.connect import ConnectRuntime

        return ConnectRuntime(spark)
    from sparkweave.spark.classic import ClassicRuntime

    return ClassicRuntime(spark)


def refuse_connect(spark: SparkSession, what: str, remedy: str) -> None:
    """Raises ResourceError if ``what`` needs the JVM, and the session has none here."""
    if is_connect(spark):
        raise ResourceError(f"{what} can't be done over Spark Connect, where no JVM is at hand: {remedy}")
