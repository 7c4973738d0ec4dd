"""Where a process's number counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sparkweave import place


def test_processes_of_one_machine_are_in_one_place() -> None:
    program = "from sparkweave.place import this_place; print(this_place())"
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert int(other) == place.this_place() != 0


def test_where_the_system_does_not_tell_there_is_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert place.this_place() == 0
