from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_the_package_loads_neither_torch_nor_pyspark() -> None:
    assert not loaded_by("import sparkweave") & {"torch", "pyspark", "cv2", "pandas"}


@pytest.mark.parametrize(
    "module",
    [
        "errors",
        "events",
        "config",
        "filesystem",
        "data.archive",
        "metrics",
        "report.page",
        "report.output",
        "artifacts.run_record",
        "extras",
        "export.figures",
        "compression.frame",
    ],
)
def test_light_modules_stay_light(module: str) -> None:
    assert not loaded_by(f"import sparkweave.{module}") & {"torch", "pyspark"}


def test_the_command_line_answers_help_without_torch_and_pyspark() -> None:
    assert not loaded_by("import sparkweave.cli.main") & {"torch", "pyspark"}


def test_layers_hold() -> None:
    result = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
