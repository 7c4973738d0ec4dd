"""Which Python each executor has, asked without a Python worker: Spark refuses to run one whose version isn't the driver's."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from typing import Any

from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from sparkweave.deploy.doctor.finding import Finding
from sparkweave.errors import ResourceError
from sparkweave.spark.failures import describe
from sparkweave.spark.jobs import described

_ASK = "import json, socket, sys; print(json.dumps([socket.gethostname(), '.'.join(map(str, sys.version_info[:3])), sys.executable]))"


def unlike_interpreters(spark: SparkSession, slots: int) -> Iterator[Finding]:
    """A finding for each host whose Python Spark would not run the driver's functions with."""
    here = platform.python_version()
    try:
        found = sorted(_interpreters(spark, slots))
    except (PySparkException, Py4JError, ResourceError) as error:
        what = str(error) if isinstance(error, ResourceError) else describe(str(error))
        yield _finding("session", what)
        return
    for host, version, executable in found:
        if version.split(".")[:2] != here.split(".")[:2]:
            yield _finding(host, f"Python is {version} ({executable}), and {here} on the driver")


def _interpreters(spark: SparkSession, slots: int) -> set[tuple[str, str, str]]:
    """Host, version and path; the JVM starts the program that it would start its Python workers with."""
    context = spark.sparkContext
    gateway: Any = SparkContext._gateway
    command = gateway.jvm.java.util.ArrayList()
    for word in (context.pythonExec, "-c", _ASK):
        command.add(word)
    with described(spark, "asking every executor for its Python"):
        lines = context.parallelize(range(slots), slots)._jrdd.pipe(command).collect()
    return {tuple(json.loads(line)) for line in lines}


def _finding(host: str, what: str) -> Finding:
    return Finding(
        check="Python",
        host=host,
        severity="error",
        what=what,
        fix="run the same Python everywhere: `sparkweave submit` ships this one, or set PYSPARK_PYTHON to one that all nodes have",
    )
