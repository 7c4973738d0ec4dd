from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sparkweave.deploy import interpreter as module
from sparkweave.deploy.interpreter import find_interpreter
from sparkweave.errors import ConfigError

ANSWER = {
    "executable": "/usr/bin/python3.11",
    "prefix": "/usr",
    "version": "3.11.7",
    "minor": "3.11",
    "implementation": "cpython",
    "platform": "linux-x86_64",
    "stdlib": "lib/python3.11",
    "packages": ["local/lib/python3.11/dist-packages", "lib/python3/dist-packages"],
    "libc": ["glibc", "2.36"],
}


def test_the_base_interpreter_is_found_behind_the_environment() -> None:
    found = find_interpreter()
    assert found.version == ".".join(map(str, sys.version_info[:3]))
    assert found.executable.is_file()
    assert not found.executable.is_symlink()
    assert found.prefix == Path(sys.base_prefix).resolve()
    assert (found.prefix / found.stdlib / "os.py").is_file()


def test_the_standard_library_without_what_no_node_needs() -> None:
    found = find_interpreter()
    places = {place.removeprefix(f"{found.stdlib}/") for _, place in found.files()}
    assert {"os.py", "json/decoder.py", "multiprocessing/spawn.py", "unittest/mock.py"} <= places
    folders = {part for place in places for part in place.split("/")[:-1]}
    assert not folders & {
        "test",
        "tests",
        "idlelib",
        "tkinter",
        "ensurepip",
        "site-packages",
        "dist-packages",
        "__pycache__",
    }
    assert not [place for place in places if "_tkinter" in place or place.endswith(".pyc")]
    assert all(path.is_file() for path, _ in found.files())


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"implementation": "pypy"}, "is pypy"),
        ({"libc": ["", ""]}, "C library of another kind"),
        ({"stdlib": "../opt/python"}, "standard library at '../opt/python'"),
        ({"packages": ["local/lib/python3.11/dist-packages"]}, "won't find it"),
    ],
)
def test_an_interpreter_that_cannot_be_packed(tmp_path: Path, answer: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        module._checked({**ANSWER, "prefix": str(make_prefix(tmp_path)), **answer})


def test_debians_layout(tmp_path: Path) -> None:
    found = module._checked({**ANSWER, "prefix": str(make_prefix(tmp_path))})
    assert found.packages == "lib/python3/dist-packages"


def test_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ConfigError, match="this is darwin"):
        find_interpreter()


def test_a_base_interpreter_that_is_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "_base_executable", os.fspath(tmp_path / "python"), raising=False)
    with pytest.raises(ConfigError, match="does not run"):
        find_interpreter()


def make_prefix(folder: Path) -> Path:
    (folder / "lib/python3.11").mkdir(parents=True)
    (folder / "lib/python3.11/os.py").touch()
    return folder
