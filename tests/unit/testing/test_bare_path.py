from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sparkweave.testing.bare_path import is_python, make_bare_path


def test_all_programs_but_pythons_are_linked(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for program in (first / "ls", first / "python3", second / "ls", second / "pythonista", second / "python3.11"):
        program.parent.mkdir(exist_ok=True)
        program.touch(mode=0o755)
    (second / "alias").symlink_to("python3.11")
    make_bare_path(tmp_path / "bin", [first, second])
    assert sorted(link.name for link in (tmp_path / "bin").iterdir()) == ["ls", "pythonista"]
    assert (tmp_path / "bin" / "ls").readlink() == first / "ls"


def test_this_machines_programs_are_there_and_its_python_is_not(tmp_path: Path) -> None:
    make_bare_path(tmp_path / "bin")
    found = {name: shutil.which(name, path=str(tmp_path / "bin")) for name in ("bash", "python", "python3")}
    assert found == {"bash": str(tmp_path / "bin" / "bash"), "python": None, "python3": None}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("python", True),
        ("python3", True),
        ("python3.11", True),
        ("python3-config", True),
        ("pypy3", True),
        ("py3clean", False),
        ("bpython", False),
        ("pythonista", False),
    ],
)
def test_a_python_is_known_by_its_name(name: str, expected: bool) -> None:
    assert is_python(Path("/nowhere") / name) is expected
