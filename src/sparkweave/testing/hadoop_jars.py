"""The jars of Hadoop's daemons: fetched once from Maven Central, in the version whose client PySpark brings.

PySpark's own jars hold Hadoop's client and its loggers; the daemons and the cryptography that they can't start without come from
Maven Central, through `mvn`, which checks their checksums and knows the mirrors of its machine.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from xml.sax.saxutils import escape

import pyspark

from sparkweave.errors import ResourceError
from sparkweave.spark import class_archive
from sparkweave.spark.java import launch_environment

BOUNCY_CASTLE = "1.82"
_TIMEOUT_SECONDS = 900
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
_POM = """<project><modelVersion>4.0.0</modelVersion><groupId>sparkweave</groupId><artifactId>jars</artifactId><version>1</version>
<build><plugins><plugin><artifactId>maven-dependency-plugin</artifactId><configuration>
<outputDirectory>{folder}</outputDirectory><artifactItems>{items}</artifactItems>
</configuration></plugin></plugins></build></project>
"""
_ITEM = "<artifactItem><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></artifactItem>"


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
    fetched = class_archive.archive_path(java).parent / f"hadoop-{version}-bouncycastle-{BOUNCY_CASTLE}"
    if not fetched.is_dir():
        _fetch(fetched, version, java)
    ours = [jar for pattern in _FROM_PYSPARK for jar in sorted(jars.glob(f"{pattern}.jar"))]
    return [*ours, *sorted(fetched.glob("*.jar"))]


def _fetch(target: Path, version: str, java: Path) -> None:
    """All jars or none: they come into a folder beside ``target``, which is then renamed."""
    maven = shutil.which("mvn")
    if maven is None:
        raise ResourceError(
            "the PATH has no mvn, which fetches Hadoop's daemons from Maven Central: install Maven"
            " (Debian, Ubuntu: `apt install maven`)"
        )
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetching-") as name:
        folder = Path(name, "jars")
        pom = Path(name, "pom.xml")
        pom.write_text(_pom(folder, version))
        _run_maven([maven, "--quiet", "--batch-mode", "--strict-checksums", "-f", str(pom), "dependency:copy"], java)
        with contextlib.suppress(OSError):  # another process was quicker
            folder.rename(target)


def _pom(folder: Path, version: str) -> str:
    artifacts = [
        ("org.apache.hadoop", "hadoop-client-minicluster", version),
        *(("org.bouncycastle", f"{name}-jdk18on", BOUNCY_CASTLE) for name in ("bcprov", "bcpkix", "bcutil")),
    ]
    return _POM.format(folder=escape(str(folder)), items="".join(_ITEM.format(*artifact) for artifact in artifacts))


def _run_maven(command: list[str], java: Path) -> None:
    environment = {**os.environ, **launch_environment(java)}
    try:
        subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=True)
    except subprocess.CalledProcessError as error:
        said = "\n".join((error.stdout + error.stderr).strip().splitlines()[-5:])
        raise ResourceError(
            f"mvn could not fetch Hadoop's daemons from Maven Central, exit code {error.returncode}: {said}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ResourceError(f"mvn did not fetch Hadoop's daemons within {_TIMEOUT_SECONDS} s") from error
