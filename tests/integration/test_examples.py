"""Every command and every Python block of README.md, and every file in examples/, is run."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkweave.cli import main

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
MAKE_TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    return [
        line.removeprefix("$ ") for block in blocks(text, "console") for line in block.splitlines() if line[:2] == "$ "
    ]


README_COMMANDS = [command for command in commands(README) if not command.startswith(("make ", "source "))]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which a newcomer has run `make demo`: with examples/ and the images in demo/."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "examples").symlink_to(ROOT / "examples")
    before = Path.cwd()
    os.chdir(folder)
    runpy.run_path("examples/demo.py", run_name="demo")["write_archives"](Path("demo"))
    yield folder
    os.chdir(before)


@pytest.mark.parametrize("command", README_COMMANDS)
def test_commands_of_the_readme(command: str, checkout: Path, spark: SparkSession) -> None:
    program, *arguments = shlex.split(command)
    if program == "sparkweave":  # in this process, whose Spark session is running
        assert main.run(arguments) == 0
    else:
        shell(command)


def test_python_blocks_of_the_readme(checkout: Path, spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks(README, "python"):
        exec(compile(block, "README.md", "exec"), {})
    assert "Accuracy" in capsys.readouterr().out


def test_the_library_example(checkout: Path, spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path("examples/library.py", run_name="__main__")
    assert "Accuracy" in capsys.readouterr().out


@pytest.mark.timeout(600)
def test_the_estimator_example(checkout: Path, spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path("examples/estimator.py", run_name="__main__")
    said = capsys.readouterr().out
    assert float(re.findall(r"accuracy ([\d.]+)", said)[0]) > 0.9
    assert "the better learning rate is 0.01" in said


@pytest.mark.timeout(600)
def test_the_demo(checkout: Path) -> None:
    said = shell(f"{sys.executable} examples/demo.py tour --epochs 3")
    assert "The model is tour/digits.zip" in said
    assert "probability_9" in said


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "examples").iterdir() if path.is_file()))
def test_every_example_is_used(name: str) -> None:
    tests = Path(__file__).read_text()
    files = "".join(path.read_text() for path in (ROOT / "examples").glob("*.yaml"))
    assert f"examples/{name}" in tests + files + "\n".join(README_COMMANDS)


@pytest.mark.parametrize("command", [c for c in commands(README + CONTRIBUTING) if c.startswith("make ")])
def test_make_targets_in_the_documents(command: str) -> None:
    assert command.split()[1] in MAKE_TARGETS


@pytest.mark.parametrize("target", sorted(MAKE_TARGETS - {"help"}))
def test_help_names_every_target(target: str) -> None:
    assert (
        f"make {target} "
        in subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    )


def shell(command: str) -> str:
    """Runs ``command`` as in an activated environment; returns its stdout."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    result = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout
