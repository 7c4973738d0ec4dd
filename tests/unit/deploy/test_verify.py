from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sparkweave.deploy import verify as module
from sparkweave.deploy.verify import find_strangers, verify
from sparkweave.errors import ResourceError


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    return tmp_path


def write_program(environment: Path, text: str) -> None:
    program = environment / "bin/python"
    program.write_text("#!/bin/sh\n" + text)
    program.chmod(0o755)


def test_an_environment_that_leans_on_this_machine_is_refused(environment: Path) -> None:
    write_program(environment, f'exec "{os.path.realpath(sys.executable)}" "$@"\n')
    with pytest.raises(ResourceError, match=r"still uses /.* of this machine"):
        verify(environment, "bin/python", {"sparkweave-not-packed"})


def test_what_fails_is_told_in_a_line(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_program(environment, f'exec "{os.path.realpath(sys.executable)}" "$@"\n')
    monkeypatch.setitem(module.CHECKS, "broken", "import no_such_module")
    with pytest.raises(
        ResourceError, match=r"exit code 1\): ModuleNotFoundError: No module named 'no_such_module'; if it"
    ):
        verify(environment, "bin/python", {"broken"})


def test_an_interpreter_that_does_not_start(environment: Path) -> None:
    write_program(environment, "exit 127\n")
    with pytest.raises(ResourceError, match=r"exit code 127\): no message"):
        verify(environment, "bin/python", set())


def test_only_glibc_may_come_from_the_machine() -> None:
    root = Path("/tmp/environment")
    report = {
        "prefix": "/tmp/environment",
        "mapped": [
            "/lib64/ld-linux-x86-64.so.2",
            "/usr/lib/locale/C.utf8/LC_CTYPE",
            "/tmp/environment/lib/libz.so.1",
            "[heap]",
        ],
        "modules": ["", "/tmp/environment/lib/python3.11/os.py"],
    }
    assert find_strangers(report, root) == []
    report["mapped"].append("/usr/lib/libz.so.1")
    report["modules"].append("/tmp/environment-of-another/x.py")
    assert find_strangers(report, root) == ["/usr/lib/libz.so.1", "/tmp/environment-of-another/x.py"]
