"""What a shared library or program says about itself: what it needs, where it looks, which glibc it was built for."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

_MAGIC = b"\x7fELF"
_GLIBC = re.compile(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?")

Version = tuple[int, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Binary:
    """The dynamic section of an ELF file.

    Attributes:
        machine: The processor, as ELF names it (``EM_X86_64``).
        needed: Names of the libraries that are loaded with it.
        rpath: Where they are looked for, by an old-style entry: it also holds for what those libraries need.
        runpath: Where they are looked for, by a new-style entry: it holds for them alone, and silences the ``rpath`` of the program.
        glibc: The newest version of glibc that a symbol asks for; (0, 0) if none does.
    """

    machine: str
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    glibc: Version = (0, 0)


def is_elf(path: Path) -> bool:
    """Whether ``path`` is a program or a library in Linux's format."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read_binary(path: Path) -> Binary | None:
    """What the ELF file at ``path`` says of itself; None where it is none, or one that is not loaded dynamically."""
    if not is_elf(path):
        return None
    with path.open("rb") as file:
        try:
            elf = ELFFile(file)
            dynamic = elf.get_section_by_name(".dynamic")
            if not isinstance(dynamic, DynamicSection):
                return None
            versions = elf.get_section_by_name(".gnu.version_r")
            return Binary(
                machine=elf["e_machine"],
                needed=_texts(dynamic, "needed"),
                rpath=_folders(_texts(dynamic, "rpath")),
                runpath=_folders(_texts(dynamic, "runpath")),
                glibc=_newest_glibc(versions) if isinstance(versions, GNUVerNeedSection) else (0, 0),
            )
        except ELFError:  # cut, or for another purpose (firmware, a kernel for a device)
            return None


def _texts(dynamic: DynamicSection, name: str) -> tuple[str, ...]:
    return tuple(getattr(tag, name) for tag in dynamic.iter_tags() if tag.entry.d_tag == f"DT_{name.upper()}")


def _folders(entries: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(folder for entry in entries for folder in entry.split(":") if folder)


def _newest_glibc(versions: GNUVerNeedSection) -> Version:
    names = (auxiliary.name for _, auxiliaries in versions.iter_versions() for auxiliary in auxiliaries)
    found = (match for name in names if (match := _GLIBC.fullmatch(name)))
    return max(((int(match[1]), int(match[2])) for match in found), default=(0, 0))
