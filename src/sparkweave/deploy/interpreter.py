"""The interpreter behind the running one: its program, its standard library, and where it looks for packages.

A virtual environment's interpreter is a link to a base interpreter; that is the one to pack. It is asked itself, because
distributions differ in their layout (Debian looks for packages in ``dist-packages``, Fedora has ``lib64``).
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from sparkweave.errors import ConfigError

_QUESTION = """
import json, os, platform, site, sys, sysconfig
prefix = os.path.realpath(sys.base_prefix)
under = lambda path: os.path.relpath(path, sys.base_prefix)
print(json.dumps({
    "executable": os.path.realpath(sys.executable),
    "prefix": prefix,
    "version": sys.version.split()[0],
    "minor": "%d.%d" % sys.version_info[:2],
    "implementation": sys.implementation.name,
    "platform": sysconfig.get_platform(),
    "stdlib": under(sysconfig.get_path("stdlib")),
    "packages": [under(path) for path in site.getsitepackages([sys.base_prefix])],
    "libc": platform.libc_ver(),
}))
"""

# What nobody needs on a node: tests, installers, graphical tools. readline and gdbm are under the GPL; nis brings Kerberos.
_LEFT_OUT = frozenset({
    "__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "turtle.py", "ensurepip",
    "lib2to3", "pydoc_data", "EXTERNALLY-MANAGED", "sitecustomize.py",
})  # fmt: skip
_MODULES_LEFT_OUT = ("_tkinter.", "_test", "_ctypes_test.", "_xxtestfuzz.", "xx", "nis.", "readline.", "_gdbm.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A CPython on Linux that can be packed.

    Attributes:
        executable: The program itself, no link to it.
        prefix: The folder that the interpreter's own files are under.
        version: Such as ``3.11.7``.
        minor: Such as ``3.11``.
        platform: Such as ``linux-x86_64``.
        stdlib: The standard library's folder under the prefix, as the interpreter will look for it elsewhere.
        packages: The folder of installed packages under the prefix, likewise.
    """

    executable: Path
    prefix: Path
    version: str
    minor: str
    platform: str
    stdlib: str
    packages: str

    def files(self) -> Iterator[tuple[Path, str]]:
        """The standard library: each file, and its place under the prefix."""
        root = self.prefix / self.stdlib
        for path in _walk(root):
            if not (path.parent.name == "lib-dynload" and path.name.startswith(_MODULES_LEFT_OUT)):
                yield path, f"{self.stdlib}/{path.relative_to(root).as_posix()}"


def find_interpreter() -> Interpreter:
    """The interpreter that runs this.

    Raises:
        ConfigError: if it is none that can be packed.
    """
    if sys.platform != "linux":
        raise ConfigError(
            f"environments are packed on Linux, for Linux; this is {sys.platform}: run it on a Linux machine"
        )
    base = getattr(sys, "_base_executable", None) or sys.executable
    try:
        asked = subprocess.run([base, "-I", "-c", _QUESTION], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigError(
            f"{base}, the interpreter behind this environment, does not run ({error}); make the environment anew"
        ) from error
    return _checked(json.loads(asked.stdout))


def _checked(answer: dict[str, str]) -> Interpreter:
    if answer["implementation"] != "cpython" or answer["libc"][0] != "glibc":
        raise ConfigError(
            f"{answer['executable']} is {answer['implementation']} with the C library {answer['libc'][0] or 'of another kind'};"
            " only CPython with glibc can be packed: make the environment with such a Python"
        )
    prefix = Path(answer["prefix"])
    packages = [place for place in answer["packages"] if not place.startswith(("..", "local/"))]
    if answer["stdlib"].startswith("..") or not (prefix / answer["stdlib"] / "os.py").is_file() or not packages:
        raise ConfigError(
            f"{answer['executable']} has its standard library at {answer['stdlib']!r} of {prefix}, where a packed interpreter"
            " won't find it; make the environment with a Python from python.org, pyenv, uv, conda or a distribution"
        )
    return Interpreter(
        executable=Path(answer["executable"]),
        prefix=prefix,
        version=answer["version"],
        minor=answer["minor"],
        platform=answer["platform"],
        stdlib=answer["stdlib"],
        packages=packages[0],
    )


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in _LEFT_OUT or path.name.startswith("config-"):
            continue
        if path.is_dir():
            yield from _walk(path)
        elif path.is_file() and path.suffix not in {".pyc", ".exe", ".a", ".o"}:
            yield path
