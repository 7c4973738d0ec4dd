"""Jars from Maven Central, fetched once through `mvn`, which checks their checksums and knows the mirrors of its machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from sparkweave.errors import ResourceError
from sparkweave.spark import class_archive
from sparkweave.spark.java import launch_environment

_TIMEOUT_SECONDS = 900
_POM = """<project><modelVersion>4.0.0</modelVersion><groupId>sparkweave</groupId><artifactId>jars</artifactId><version>1</version>
<packaging>pom</packaging><dependencies>{dependencies}</dependencies></project>
"""
_DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>{}</dependency>"
_ALONE = "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>"

Artifact = tuple[str, str, str]
"""Group, name and version."""


def fetched_jars(name: str, artifacts: Sequence[Artifact], java: Path, *, transitive: bool = False) -> list[Path]:
    """The jars of ``artifacts``, fetched at the first call.

    Args:
        name: Of the folder that keeps them, with the versions in it.
        artifacts: What to fetch.
        java: The ``java`` program that runs Maven.
        transitive: Whether what they depend on comes too.

    Raises:
        ResourceError: if they are not here and can't be fetched.
    """
    folder = class_archive.archive_path(java).parent / name
    if not folder.is_dir():
        _fetch(folder, pom_of(artifacts, transitive=transitive), java)
    return sorted(folder.glob("*.jar"))


def pom_of(artifacts: Sequence[Artifact], *, transitive: bool) -> str:
    """A project that depends on ``artifacts`` and on nothing else."""
    alone = "" if transitive else _ALONE
    parts = [_DEPENDENCY.format(*map(escape, artifact), alone) for artifact in artifacts]
    return _POM.format(dependencies="".join(parts))


def _fetch(target: Path, pom: str, java: Path) -> None:
    """All jars or none: they come into a folder beside ``target``, which is then renamed."""
    maven = shutil.which("mvn")
    if maven is None:
        raise ResourceError(
            f"the PATH has no mvn, which fetches {target.name} from Maven Central: install Maven"
            " (Debian, Ubuntu: `apt install maven`)"
        )
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetching-") as name:
        folder, project = Path(name, "jars"), Path(name, "pom.xml")
        project.write_text(pom)
        command = [maven, "--quiet", "--batch-mode", "--strict-checksums", "-f", str(project)]
        _run([*command, "dependency:copy-dependencies", f"-DoutputDirectory={folder}"], target.name, java)
        with contextlib.suppress(OSError):  # another process was quicker
            folder.rename(target)


def _run(command: list[str], what: str, java: Path) -> None:
    environment = {**os.environ, **launch_environment(java)}
    try:
        subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=True)
    except subprocess.CalledProcessError as error:
        said = "\n".join((error.stdout + error.stderr).strip().splitlines()[-5:])
        raise ResourceError(
            f"mvn could not fetch {what} from Maven Central, exit code {error.returncode}: {said}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ResourceError(f"mvn did not fetch {what} within {_TIMEOUT_SECONDS} s") from error
