"""A session with a JVM beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

from sparkweave.spark.executors import loss_reasons
from sparkweave.spark.runtime import Shared

_PROPERTIES = ("spark.jobGroup.id", "spark.job.description", "spark.job.interruptOnCancel")


class ClassicRuntime:
    """`Runtime` through the session's SparkContext."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark

    def settings(self) -> Mapping[str, str]:
        """See `Runtime.settings`."""
        context = self._spark.sparkContext
        return {"spark.master": context.master or "", **dict(context.getConf().getAll())}

    def has_ended(self) -> bool:
        """See `Runtime.has_ended`; with its application master a whole application ends."""
        java: Any = self._spark.sparkContext._jsc
        try:
            return java is None or bool(java.sc().isStopped())
        except Py4JError:  # so has its JVM
            return True

    def slots(self) -> int:
        """See `Runtime.slots`."""
        context: Any = self._spark.sparkContext._jsc.sc()
        return int(context.maxNumConcurrentTasks(context.resourceProfileManager().defaultResourceProfile()))

    def parallelism(self) -> int:
        """See `Runtime.parallelism`."""
        return int(self._spark.sparkContext.defaultParallelism)

    def loss_reasons(self, since: float) -> list[str]:
        """See `Runtime.loss_reasons`; none once the session has ended."""
        with contextlib.suppress(Py4JError):
            return loss_reasons(self._spark, since)
        return []

    def driver_host(self) -> str:
        """See `Runtime.driver_host`: this machine."""
        return self._spark.sparkContext.getConf().get("spark.driver.host") or "localhost"

    def own_address(self) -> tuple[str, str | None]:
        """See `Runtime.own_address`."""
        return self.driver_host(), self._spark.sparkContext.getConf().get("spark.driver.bindAddress")

    def share(self, *values: Any) -> list[Shared]:
        """See `Runtime.share`: broadcast variables."""
        return [self._spark.sparkContext.broadcast(value) for value in values]

    @contextlib.contextmanager
    def named(self, group: str, text: str) -> Iterator[None]:
        """See `Runtime.named`."""
        context = self._spark.sparkContext
        before = {name: context.getLocalProperty(name) for name in _PROPERTIES}
        context.setJobGroup(group, text, interruptOnCancel=True)
        try:
            yield
        finally:
            if not self.has_ended():
                for name, value in before.items():
                    context.setLocalProperty(name, value)  # type: ignore[arg-type]

    @contextlib.contextmanager
    def tagged(self, tag: str) -> Iterator[None]:
        """See `Runtime.tagged`."""
        context = self._spark.sparkContext
        context.addJobTag(tag)
        try:
            yield
        finally:
            if not self.has_ended():
                context.removeJobTag(tag)

    def cancel(self, tag: str) -> None:
        """See `Runtime.cancel`."""
        with contextlib.suppress(Py4JError):
            self._spark.sparkContext.cancelJobsWithTag(tag)
