"""A session of Spark Connect: a server somewhere, reached through gRPC, and no JVM here.

The server tells its settings, but neither which executors it has nor why it lost one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import socket
from collections.abc import Iterator, Mapping
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from sparkweave.errors import ResourceError
from sparkweave.spark.runtime import Shared

_LOCAL = re.compile(r"local(?:\[\s*(\d+)\s*(?:,\s*\d+\s*)?\])?")
_MOST_BYTES = 100 << 20  # the server takes 128 MiB a message, and the rest of the plan is in it too


@dataclasses.dataclass(frozen=True)
class Enclosed:
    """A value that travels with each task's function."""

    value: Any

    def destroy(self) -> None:
        """Nothing is kept."""


class ConnectRuntime:
    """`Runtime` through the client's own interface."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark

    def settings(self) -> Mapping[str, str]:
        """See `Runtime.settings`."""
        return dict(self._spark.conf.getAll)

    def has_ended(self) -> bool:
        """See `Runtime.has_ended`."""
        session: Any = self._spark
        return bool(session.is_stopped)

    def slots(self) -> int | None:
        """See `Runtime.slots`: known of a local server alone."""
        settings = self.settings()
        found = _LOCAL.fullmatch(settings.get("spark.master", ""))
        return int(found[1] or 1) // int(settings.get("spark.task.cpus", "1")) if found else None

    def parallelism(self) -> int:
        """See `Runtime.parallelism`: where the slots are not known, as many tasks as a shuffle has."""
        settings = self.settings()
        asked = settings.get("spark.default.parallelism") or settings.get("spark.sql.shuffle.partitions", "200")
        return self.slots() or int(asked)

    def loss_reasons(self, since: float) -> list[str]:
        """See `Runtime.loss_reasons`: the server does not tell."""
        return []

    def driver_host(self) -> str:
        """See `Runtime.driver_host`: the server's machine."""
        return self.settings().get("spark.driver.host", "localhost")

    def own_address(self) -> tuple[str, str | None]:
        """This machine's address on the way to the server; workers that can't reach it train all the same, and say less."""
        session: Any = self._spark
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((session.client.host, 9))  # sends nothing
            return str(probe.getsockname()[0]), None
        return "127.0.0.1", None

    def share(self, *values: Any) -> list[Shared]:
        """See `Runtime.share`.

        Raises:
            ResourceError: if they are more than the server takes in one message.
        """
        size = sum(map(_size, values))
        if size > _MOST_BYTES:
            raise ResourceError(
                f"the network's state takes {size:,} bytes, and over Spark Connect at most {_MOST_BYTES:,} go to the workers: take a "
                "smaller network, strategyOptions={'save_optimizer': False}, or run the program beside Spark's driver (`sparkweave submit`)"
            )
        return [Enclosed(value) for value in values]

    @contextlib.contextmanager
    def named(self, group: str, text: str) -> Iterator[None]:
        """See `Runtime.named`: jobs have no descriptions here."""
        yield

    @contextlib.contextmanager
    def tagged(self, tag: str) -> Iterator[None]:
        """See `Runtime.tagged`."""
        self._spark.addTag(tag)
        try:
            yield
        finally:
            if not self.has_ended():
                self._spark.removeTag(tag)

    def cancel(self, tag: str) -> None:
        """See `Runtime.cancel`."""
        with contextlib.suppress(PySparkException):
            self._spark.interruptTag(tag)


def _size(value: Any) -> int:
    """Of bytes, or of a mapping of such."""
    return sum(map(_size, value.values())) if isinstance(value, Mapping) else len(value)
