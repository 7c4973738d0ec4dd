"""Real libraries stand in for torch's: what one needs is taken out, and it is loaded all the same."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sparkweave.deploy import cuda
from sparkweave.deploy.cuda import apply_change, is_kept, plan_change
from sparkweave.deploy.elf import read_binary

LOAD = """
import ctypes, sys
import numpy.linalg
library = ctypes.CDLL(sys.argv[1])
assert library.PyInit__umath_linalg is not None
"""


def find_hashing() -> tuple[Path, str] | None:
    """An extension whose functions come from another library in certain versions: this interpreter's OpenSSL, if it is shared."""
    import _hashlib

    binary = read_binary(Path(_hashlib.__file__)) if hasattr(_hashlib, "__file__") else None
    names = [name for name in binary.needed if name.startswith("libcrypto.")] if binary else []
    return (Path(_hashlib.__file__), names[0]) if names else None


@pytest.fixture
def algebra(tmp_path: Path) -> tuple[Path, str, Path]:
    """A copy of an extension of numpy's, the name of the library that it needs, and that library."""
    source = next(Path(np.__file__).parent.glob("linalg/_umath_linalg*.so"))
    copy = tmp_path / source.name
    shutil.copyfile(source, copy)
    binary = read_binary(copy)
    assert binary is not None
    name = next(name for name in binary.needed if name.startswith("libscipy_openblas"))
    return copy, name, Path(np.__file__).parents[1] / "numpy.libs" / name


def test_a_library_is_loaded_without_what_was_taken_out(algebra: tuple[Path, str, Path]) -> None:
    copy, name, library = algebra
    change = plan_change(copy, {name: library})
    assert change is not None
    assert change.needed == {name}
    before = read_binary(copy)
    apply_change(copy, change)
    after = read_binary(copy)
    assert before is not None
    assert after is not None
    assert after.needed == tuple(needed for needed in before.needed if needed != name)
    assert after.glibc == before.glibc
    subprocess.run([sys.executable, "-c", LOAD, copy], check=True)


def test_versions_of_a_library_are_taken_out_with_it(tmp_path: Path) -> None:
    found = find_hashing()
    if found is None:
        pytest.skip("this interpreter has OpenSSL inside")
    source, name = found
    copy = tmp_path / source.name
    shutil.copyfile(source, copy)
    mapped = subprocess.run(["ldd", source], capture_output=True, text=True, check=True).stdout
    library = next(Path(line.split()[2]) for line in mapped.splitlines() if name in line)
    change = plan_change(copy, {name: library})
    assert change is not None
    apply_change(copy, change)
    listed = subprocess.run(["ldd", "-v", copy], capture_output=True, text=True, check=True).stdout
    assert name not in listed
    assert "libc.so.6" in listed
    load = "import ctypes, os, sys; ctypes.CDLL(sys.argv[1]); print(open('/proc/self/maps').read())"
    maps = subprocess.run([sys.executable, "-S", "-c", load, copy], capture_output=True, text=True, check=True).stdout
    assert copy.name in maps
    assert name not in maps


def test_what_is_called_without_a_gpu_too_stays(
    algebra: tuple[Path, str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, name, library = algebra
    monkeypatch.setattr(cuda, "KEPT", ("libscipy_openblas",))
    assert plan_change(copy, {name: library}) is None


def test_a_library_that_has_nothing_for_gpus_is_left_alone(algebra: tuple[Path, str, Path], tmp_path: Path) -> None:
    copy, _, library = algebra
    assert plan_change(copy, {"libcublas.so.13": library}) is None
    (tmp_path / "text").write_text("no library")
    assert plan_change(tmp_path / "text", {}) is None


def test_code_for_gpus_is_blanked_and_nothing_else(
    algebra: tuple[Path, str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, _, _ = algebra
    before = copy.read_bytes()
    monkeypatch.setattr(cuda, "_GPU_CODE", (".comment",))  # any section that is not needed to load it
    change = plan_change(copy, {})
    assert change is not None
    assert not change.needed
    apply_change(copy, change)
    after = copy.read_bytes()
    differing = [index for index, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    assert differing
    assert before[differing[0] : differing[-1] + 1].replace(b"\0", b"").startswith(b"GCC")
    assert not any(after[differing[0] : differing[-1] + 1])
    subprocess.run([sys.executable, "-c", LOAD, copy], check=True)


@pytest.mark.parametrize(
    ("name", "kept"), [("libcudart.so.13", True), ("libcudnn.so.9", True), ("libcublasLt.so.13", False)]
)
def test_the_few_that_stay(name: str, kept: bool) -> None:
    assert is_kept(name) is kept
