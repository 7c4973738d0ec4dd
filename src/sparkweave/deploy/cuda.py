"""Takes what only GPUs use out of PyTorch's CUDA build, which is the one that PyPI has.

torch's own libraries name CUDA's among what they need, so that leaving those out alone would end ``import torch``. Here the
names are taken out of torch's libraries, and the functions that came from them become weak symbols, which may be missing. They are
called for tensors on a GPU and by questions about these libraries (their versions, ``torch.__config__.show()``), which then
end the process. The machine code for GPUs in torch's own libraries is blanked out. NVIDIA's files are left out or left as they are.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TypeVar

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Section, StringTableSection

from sparkweave.deploy.elf import read_binary

# torch asks the first for the number of GPUs; the others are small and are called by its profiler, its summary and at its start.
KEPT = ("libcudart.so", "libcupti.so", "libcudnn.so", "libcufile.so")
LEFT_OUT = frozenset({"torch/lib/libtorch_cuda_linalg.so", "torch/lib/libcaffe2_nvrtc.so"})
"""torch loads these itself, for tensors on a GPU alone."""

Item = TypeVar("Item")
Edit = tuple[int, bytes]  # where, and what is written there

_GPU_CODE = (".nv_fatbin", "__nv_relfatbin")
_BLOCK = 1 << 20

# Records of the 64-bit format, lowest byte first, and what some of their numbers mean.
_SYMBOL = struct.Struct("<IBBHQQ")
_ENTRY = struct.Struct("<qQ")
_LIBRARY = struct.Struct("<HHIII")
_NEEDED, _VERSIONS_NUMBER = 1, 0x6FFFFFFF
_UNDEFINED, _WEAK, _ANY_VERSION = 0, 2, 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """What is taken out of one of torch's libraries.

    Attributes:
        needed: Names of the libraries that are not there.
        symbols: What they would have defined.
    """

    needed: frozenset[str]
    symbols: frozenset[str]


def is_kept(name: str) -> bool:
    """Whether a library of CUDA's stays, because torch calls it on machines without a GPU too."""
    return name.startswith(KEPT)


def plan_change(library: Path, cuda: Mapping[str, Path]) -> Change | None:
    """What to take out of ``library``; None where it has nothing for GPUs.

    Args:
        library: One of torch's.
        cuda: CUDA's libraries, by their names.
    """
    binary = read_binary(library)
    if binary is None:
        return None
    gone = frozenset(name for name in binary.needed if name in cuda and not is_kept(name))
    with library.open("rb") as file:
        elf = ELFFile(file)
        if not gone and not any(elf.get_section_by_name(name) for name in _GPU_CODE):
            return None
    symbols = frozenset(symbol for name in gone for symbol in _defined(cuda[name]))
    return Change(needed=gone, symbols=symbols)


def apply_change(path: Path, change: Change) -> None:
    """Changes the library at ``path`` in place; its size and the places of everything in it stay."""
    with path.open("r+b") as file:
        elf = ELFFile(file)
        edits = [*_weaken(elf, change), *_forget_needed(elf, change), *_forget_versions(elf, change)]
        blank = [(s["sh_offset"], s["sh_size"]) for name in _GPU_CODE if (s := elf.get_section_by_name(name))]
        for offset, content in edits:
            file.seek(offset)
            file.write(content)
        for offset, size in blank:
            _blank(file, offset, size)


def _defined(library: Path) -> list[str]:
    with library.open("rb") as file:
        elf = ELFFile(file)
        symbols = _section(elf, ".dynsym")
        entries = _SYMBOL.iter_unpack(symbols.data())
        return [_text(elf, symbols, name) for name, _, _, section, _, _ in entries if section != _UNDEFINED]


def _weaken(elf: ELFFile, change: Change) -> list[Edit]:
    """Makes the missing functions weak, of no version in particular."""
    symbols, versions = _section(elf, ".dynsym"), elf.get_section_by_name(".gnu.version")
    edits = []
    for index, (name, info, _, section, _, _) in enumerate(_SYMBOL.iter_unpack(symbols.data())):
        if section == _UNDEFINED and _text(elf, symbols, name) in change.symbols:
            kind = info & 0xF
            edits.append((symbols["sh_offset"] + index * _SYMBOL.size + 4, bytes([_WEAK << 4 | kind])))
            if versions is not None:
                edits.append((versions["sh_offset"] + 2 * index, struct.pack("<H", _ANY_VERSION)))
    return edits


def _forget_needed(elf: ELFFile, change: Change) -> list[Edit]:
    """Closes the gaps in the dynamic section that the libraries' names leave, and counts the versions anew."""
    dynamic = _section(elf, ".dynamic")
    number = len(_kept_versions(elf, change))
    kept = []
    for tag, value in _ENTRY.iter_unpack(dynamic.data()):
        if not (tag == _NEEDED and _text(elf, dynamic, value) in change.needed):
            kept.append((tag, number if tag == _VERSIONS_NUMBER else value))
    content = b"".join(_ENTRY.pack(*entry) for entry in kept)
    return [(dynamic["sh_offset"], content.ljust(dynamic["sh_size"], b"\0"))]


def _forget_versions(elf: ELFFile, change: Change) -> list[Edit]:
    """Closes the gaps in the list of needed versions."""
    versions = _kept_versions(elf, change)
    content = b""
    for last, (header, names) in _with_last(versions):
        size = len(header) + sum(map(len, names))
        content += header[:8] + struct.pack("<II", len(header), 0 if last else size)
        content += b"".join(name[:12] + struct.pack("<I", 0 if end else len(name)) for end, name in _with_last(names))
    return [(_section(elf, ".gnu.version_r")["sh_offset"], content)] if versions else []


def _kept_versions(elf: ELFFile, change: Change) -> list[tuple[bytes, list[bytes]]]:
    """The records of the needed versions, without those of libraries that are gone: (library, its versions)."""
    section = elf.get_section_by_name(".gnu.version_r")
    if section is None:
        return []
    data = section.data()
    kept, start = [], 0
    for _ in range(section["sh_info"]):
        _, count, library, first, following = _LIBRARY.unpack_from(data, start)
        if _text(elf, section, library) not in change.needed:
            places, place = [], start + first
            for _ in range(count):
                places.append(place)
                place += struct.unpack_from("<I", data, place + 12)[0]
            kept.append((data[start : start + 16], [data[place : place + 16] for place in places]))
        start += following
    return kept


def _section(elf: ELFFile, name: str) -> Section:
    section = elf.get_section_by_name(name)
    assert section is not None, name  # what is loaded dynamically has it
    return section


def _text(elf: ELFFile, section: Section, offset: int) -> str:
    """A name that a section refers to, by its place in the table of names that belongs to the section."""
    names = elf.get_section(section["sh_link"])
    assert isinstance(names, StringTableSection)
    return names.get_string(offset)


def _with_last(items: Sequence[Item]) -> Iterator[tuple[bool, Item]]:
    return ((index == len(items) - 1, item) for index, item in enumerate(items))


def _blank(file: IO[bytes], offset: int, size: int) -> None:
    file.seek(offset)
    for start in range(0, size, _BLOCK):
        file.write(bytes(min(_BLOCK, size - start)))
