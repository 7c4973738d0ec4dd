"""Spark's own jars as one archive, so that a YARN cluster needs no Spark, and a submission does not bring 400 MB each time."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from pathlib import Path

from sparkweave.deploy.cluster_files import ClusterFiles
from sparkweave.deploy.spark_home import spark_defaults, spark_home

_SETTINGS = ("spark.yarn.archive", "spark.yarn.jars")


def ship_jars(files: ClusterFiles, conf: dict[str, str]) -> str | None:
    """The URL of the archive, which is uploaded if it isn't there yet; None where the cluster's settings name one already.

    Raises:
        ResourceError: if HDFS refuses.
    """
    settings = {**spark_defaults(), **conf}
    if any(name in settings for name in _SETTINGS):
        return None
    jars = sorted((spark_home() / "jars").glob("*.jar"))
    path = f"spark/{_fingerprint(jars)}/jars.zip"
    if not files.has(path):
        with tempfile.NamedTemporaryFile(suffix=".zip") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for jar in jars:
                    archive.write(jar, jar.name)
            file.flush()
            files.upload(Path(file.name), path)
    return files.url(path)


def _fingerprint(jars: list[Path]) -> str:
    listed = "".join(f"{jar.name} {jar.stat().st_size}\n" for jar in jars)
    return hashlib.sha256(listed.encode()).hexdigest()[:16]
