"""One's own code as an archive."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sparkweave.deploy.cache import forget_old
from sparkweave.deploy.code_archive import code_archive
from sparkweave.errors import ConfigError


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def module(folder: Path, name: str, content: str = "answer = 42\n") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(content)
    return path


def test_unpacked_it_comes_before_what_is_installed(tmp_path: Path) -> None:
    archive = code_archive([module(tmp_path / "mine", "mynets.py")])
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path / "code")
    program = "import sparkweave, mynets; print(sparkweave.__file__, mynets.answer); sparkweave.TrainingConfig()"
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": "code"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said == f"{tmp_path}/code/sparkweave/__init__.py 42\n"


def test_the_same_code_is_the_same_file_and_other_code_another(tmp_path: Path) -> None:
    mine = module(tmp_path / "mine", "mynets.py")
    first = code_archive([mine])
    content = first.read_bytes()
    mine.touch()
    assert code_archive([mine]) == first
    assert first.read_bytes() == content
    module(tmp_path / "mine", "mynets.py", "answer = 43\n")
    assert code_archive([mine]) != first


def test_two_modules_of_one_name_are_refused(tmp_path: Path) -> None:
    twins = [module(tmp_path / name, "nets.py") for name in ("a", "b")]
    with pytest.raises(ConfigError, match="two modules have the name 'nets'"):
        code_archive(twins)


def test_a_module_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--module"):
        code_archive([tmp_path / "nothing.py"])


def test_only_the_newest_files_are_kept(tmp_path: Path) -> None:
    import os

    for number in range(5):
        os.utime(module(tmp_path, f"{number}"), (number, number))
    forget_old(tmp_path, kept=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3", "4"]
