"""The process that Spark forks this machine's Python workers from: pyspark's own, with what our tasks import in place already.

Spark puts its ``pyspark.zip`` before everything else on the path, and Python compiles a package in a ZIP anew in every process:
1.1 s. Where that ZIP belongs to the pyspark that is installed, the installed files are taken. What all workers import is
imported once, not by each of them (0.9 s of processor time a worker), and their garbage collector passes over it.

Forking is safe: the threads of OpenBLAS and of Arrow's allocator that the imports start are told of it by these libraries
(``pthread_atfork``). Modules that are shipped to the tasks of a session (``addPyFile``) do not replace what is imported here.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import site
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, distribution

MODULE = "sparkweave.spark.daemon"
_NEEDED = ("pyspark.worker", "sparkweave.spark.archives", "sparkweave.spark.dataset")


def is_installed() -> bool:
    """Whether any new process of this interpreter finds this package: what the driver alone has on its path is not enough."""
    try:
        folder = str(distribution("sparkweave").locate_file(""))
    except PackageNotFoundError:
        return False
    return os.path.normpath(folder) in map(os.path.normpath, [*site.getsitepackages(), site.getusersitepackages()])


def installed_first(path: Sequence[str], spark_home: str) -> list[str]:
    """``path`` without the ZIPs of this Spark's Python, if Python finds the same pyspark, and py4j, without them."""
    zips = os.path.join(os.path.normpath(spark_home), "python", "lib", "")
    rest = [entry for entry in path if not entry.startswith(zips)]
    pyspark, py4j = (PathFinder.find_spec(name, rest) for name in ("pyspark", "py4j"))
    if pyspark is None or pyspark.origin is None or py4j is None or py4j.origin is None:
        return list(path)
    same = os.path.realpath(os.path.dirname(pyspark.origin)) == os.path.realpath(spark_home)
    return rest if same else list(path)


def main() -> None:
    """Runs until Spark closes standard input."""
    sys.path[:] = installed_first(sys.path, os.environ.get("SPARK_HOME", ""))
    with _output_to_stderr():
        for name in _NEEDED:
            with contextlib.suppress(Exception):  # the task that needs it says what is wrong
                importlib.import_module(name)
    if (random := sys.modules.get("numpy.random")) is not None:
        os.register_at_fork(after_in_child=random.seed)  # otherwise all workers draw the same numbers
    from pyspark.daemon import manager

    gc.freeze()
    manager()


@contextlib.contextmanager
def _output_to_stderr() -> Iterator[None]:
    """Spark reads the daemon's port from standard output: nothing that is imported may print there."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


if __name__ == "__main__":
    main()
