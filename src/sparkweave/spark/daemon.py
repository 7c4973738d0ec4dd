"""The process that Spark forks this machine's Python workers from: pyspark's own, with what our tasks import in place already.

Spark puts its ``pyspark.zip`` before everything else on the path, and Python compiles a package in a ZIP anew in every process:
1.1 s. Where that ZIP belongs to the pyspark that is installed, the installed files are taken. What all workers import is
imported once, not by each of them (0.9 s of processor time a worker), and their garbage collector passes over it.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Sequence

MODULE = "sparkweave.spark.daemon"
_NEEDED = ("pyspark.worker", "sparkweave.spark.archives", "sparkweave.spark.dataset")


def installed_first(path: Sequence[str], spark_home: str) -> list[str]:
    """``path`` without the ZIPs of this Spark's Python, if the folder that Spark lies in is on it too: pyspark was installed there.

    >>> installed_first(["/env/pyspark/python/lib/pyspark.zip", "/env"], "/env/pyspark")
    ['/env']
    >>> installed_first(["/opt/spark/python/lib/pyspark.zip", "/env"], "/opt/spark")
    ['/opt/spark/python/lib/pyspark.zip', '/env']
    """
    spark_home = os.path.normpath(spark_home)
    zips = os.path.join(spark_home, "python", "lib", "")
    if os.path.basename(spark_home) != "pyspark" or os.path.dirname(spark_home) not in path:
        return list(path)
    return [entry for entry in path if not entry.startswith(zips)]


def main() -> None:
    """Runs until Spark closes standard input."""
    sys.path[:] = installed_first(sys.path, os.environ.get("SPARK_HOME", ""))
    for name in _NEEDED:
        importlib.import_module(name)
    from pyspark.daemon import manager

    gc.freeze()
    manager()


if __name__ == "__main__":
    main()
