"""Compiles Python files for a tree: byte code that is never checked against its source, the same bytes each time.

Reading torch's sources costs a worker seconds at every start. What is compiled depends a little on what the compiling process
did before (which constants it shares), so fixed groups of files are each compiled by a fresh process with a fixed hash seed.
This file is that process's program too, and imports only the standard library.
"""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_GROUPS = 8
_SEPARATOR = "\0"


def compile_tree(root: Path, places: Sequence[str], interpreter: Path) -> list[tuple[str, str]]:
    """Compiles each of ``places`` under ``root`` into its ``__pycache__``.

    Returns:
        The places of each source and its byte code; a file that isn't Python of this version (a template) has none.
    """
    groups = [places[i::_GROUPS] for i in range(_GROUPS)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return [pair for pairs in pool.map(lambda group: _run(root, group, interpreter), groups) for pair in pairs]


def _run(root: Path, places: Sequence[str], interpreter: Path) -> list[tuple[str, str]]:
    if not places:
        return []
    done = subprocess.run(
        [str(interpreter), "-S", "-s", "-B", "-W", "ignore", __file__],
        input=_SEPARATOR.join(places), capture_output=True, text=True, check=True, cwd=root, env={"PYTHONHASHSEED": "0"},
    )  # fmt: skip
    return [
        (place, compiled) for place, compiled in zip(places, done.stdout.split(_SEPARATOR), strict=True) if compiled
    ]


def _compile(place: str) -> str:
    folder, name = os.path.split(place)
    target = f"{folder}/__pycache__/{name[:-3]}.{sys.implementation.cache_tag}.pyc"
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    try:
        py_compile.compile(place, target, place, doraise=True, invalidation_mode=mode)
    except (py_compile.PyCompileError, ValueError, UnicodeError):
        return ""
    return target


if __name__ == "__main__":
    sys.stdout.write(_SEPARATOR.join(map(_compile, sys.stdin.read().split(_SEPARATOR))))
