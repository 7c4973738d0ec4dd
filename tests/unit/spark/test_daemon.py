from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from sparkweave.spark import daemon
from sparkweave.spark.daemon import installed_first, is_installed


def packages(folder: Path, *names: str) -> str:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").touch()
    return str(folder)


def zips(home: Path) -> list[str]:
    return [str(home / "python" / "lib" / name) for name in ("pyspark.zip", "py4j-0.10.9.9-src.zip")]


@pytest.mark.parametrize("last", ["", "/"])
def test_installed_files_come_before_the_zips_of_the_same_pyspark(tmp_path: Path, last: str) -> None:
    site = packages(tmp_path / "site", "pyspark", "py4j")
    home = tmp_path / "site" / "pyspark"
    assert installed_first(["/work", *zips(home), site], f"{home}{last}") == ["/work", site]


@pytest.mark.parametrize("names", [("pyspark",), ("py4j",), ()])
def test_zips_stay_without_an_installed_package(tmp_path: Path, names: tuple[str, ...]) -> None:
    path = [*zips(tmp_path / "site" / "pyspark"), packages(tmp_path / "site", *names)]
    assert installed_first(path, str(tmp_path / "site" / "pyspark")) == path


def test_zips_of_another_spark_stay(tmp_path: Path) -> None:
    path = [*zips(tmp_path / "spark"), packages(tmp_path / "site", "pyspark", "py4j")]
    assert installed_first(path, str(tmp_path / "spark")) == path
    assert installed_first(path, "") == path


def test_a_copy_that_only_the_driver_finds_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_installed()
    monkeypatch.setattr("site.getsitepackages", lambda: [str(tmp_path)])
    assert not is_installed()

    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(daemon, "distribution", missing)
    assert not is_installed()


def test_nothing_but_the_port_is_written_to_standard_output(tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("print('imported', flush=True)\nraise ImportError('broken')\n")
    done = subprocess.run(
        [sys.executable, "-m", daemon.MODULE, "pyspark.worker"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert len(done.stdout) == 4
    assert b"imported" in done.stderr
