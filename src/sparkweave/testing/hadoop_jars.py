"""The jars of Hadoop's daemons: fetched once from Maven Central, in the version whose client PySpark brings.

PySpark's own jars hold Hadoop's client and its loggers; the daemons and the cryptography that they can't start without come from
Maven Central.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pyspark

from sparkweave.errors import ResourceError
from sparkweave.testing.maven import fetched_jars

BOUNCY_CASTLE = "1.82"
_FROM_PYSPARK = (
    "hadoop-client-api-*",
    "hadoop-client-runtime-*",
    "slf4j-api-*",
    "jcl-over-slf4j-*",
    "log4j-*",
    "py4j-*",
    "janino-*",
    "commons-compiler-*",
)


def spark_home() -> Path:
    """The folder of the Spark that this Python environment has."""
    return Path(os.environ.get("SPARK_HOME") or Path(pyspark.__file__).parent)


def spark_class_path() -> str:
    """Spark's jars in the order in which Spark's own scripts name them."""
    jars = spark_home() / "jars"
    return ":".join(map(str, [*sorted(jars.glob("slf4j-api-*.jar")), jars / "*"]))


def hadoop_version(jars: Path) -> str:
    """The version of the Hadoop client among Spark's ``jars``.

    Raises:
        ResourceError: if there is none.
    """
    for jar in sorted(jars.glob("hadoop-client-api-*.jar")):
        match = re.fullmatch(r"hadoop-client-api-(\d+\.\d+\.\d+)\.jar", jar.name)
        if match:
            return match[1]
    raise ResourceError(
        f"{jars} has no hadoop-client-api-X.Y.Z.jar: a cluster for tests needs a Spark that comes with Hadoop"
        " (`pip install pyspark`), and SPARK_HOME unset or leading to it"
    )


def daemon_class_path(java: Path) -> list[Path]:
    """The jars with which ``java`` can run HDFS, YARN and a py4j gateway; fetched at the first call.

    Raises:
        ResourceError: if they are not here and can't be fetched.
    """
    jars = spark_home() / "jars"
    version = hadoop_version(jars)
    artifacts = [
        ("org.apache.hadoop", "hadoop-client-minicluster", version),
        *(("org.bouncycastle", f"{name}-jdk18on", BOUNCY_CASTLE) for name in ("bcprov", "bcpkix", "bcutil")),
    ]
    fetched = fetched_jars(f"hadoop-{version}-bouncycastle-{BOUNCY_CASTLE}", artifacts, java)
    ours = [jar for pattern in _FROM_PYSPARK for jar in sorted(jars.glob(f"{pattern}.jar"))]
    return [*ours, *fetched]
