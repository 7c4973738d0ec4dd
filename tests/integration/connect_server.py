"""A Spark Connect server on loopback, with two slots: prints its port, and ends with its standard input."""

from __future__ import annotations

import sys
from typing import Any

from sparkweave.spark.session import build_session

SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "4",
    "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
    "spark.connect.grpc.binding.address": "127.0.0.1",
    "spark.connect.grpc.binding.port": "0",
    # A gang without slots is given up at once.
    "spark.scheduler.barrier.maxConcurrentTasksCheck.interval": "1s",
    "spark.scheduler.barrier.maxConcurrentTasksCheck.maxFailures": "1",
}

if __name__ == "__main__":
    session = build_session("local[2]", SETTINGS)
    service: Any = getattr(session.sparkContext._jvm, "org.apache.spark.sql.connect.service.SparkConnectService$")
    print(service.__getattr__("MODULE$").localPort(), flush=True)
    sys.stdin.read()
    session.stop()
