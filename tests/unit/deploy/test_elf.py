from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from sparkweave.deploy.elf import is_elf, read_binary

EXTENSION = next(Path(np.__file__).parent.glob("linalg/_umath_linalg*.so"))


def test_what_a_library_says_of_itself() -> None:
    binary = read_binary(EXTENSION)
    assert binary is not None
    assert "libc.so.6" in binary.needed
    assert any(name.startswith("libscipy_openblas") for name in binary.needed)
    assert binary.machine.startswith("EM_")
    assert (2, 0) < binary.glibc < (3, 0)
    assert all("$ORIGIN" in folder for folder in (*binary.rpath, *binary.runpath))


def test_a_program() -> None:
    binary = read_binary(Path(sys.executable).resolve())
    assert binary is not None
    assert any(name.startswith("libc.") for name in binary.needed)


@pytest.mark.parametrize("content", [b"", b"\x7fEL", b"#!/bin/sh\n", b"\x7fELF", b"\x7fELF\x02\x01\x01" + b"\0" * 57])
def test_what_is_no_library_is_passed_over(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert is_elf(path) == content.startswith(b"\x7fELF")
    assert read_binary(path) is None


def test_a_cut_library_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "cut.so"
    path.write_bytes(EXTENSION.read_bytes()[:1000])
    assert read_binary(path) is None
