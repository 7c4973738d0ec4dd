from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sparkweave.spark import class_archive


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    monkeypatch.delenv("SPARKWEAVE_CLASS_ARCHIVE", raising=False)
    base = tmp_path / "jdk" / "lib" / "server" / "classes.jsa"
    base.parent.mkdir(parents=True)
    base.touch()
    return tmp_path / "jdk" / "bin" / "java"


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_nothing_is_asked_of_the_jvm_without_an_archive(java: Path) -> None:
    assert class_archive.jvm_options(java) == []


def test_an_archive_is_used(java: Path) -> None:
    path = touch(class_archive.archive_path(java))
    assert class_archive.jvm_options(java)[0] == f"-XX:SharedArchiveFile={path}"


def test_it_can_be_switched_off(java: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(class_archive.archive_path(java))
    monkeypatch.setenv("SPARKWEAVE_CLASS_ARCHIVE", "off")
    assert class_archive.jvm_options(java) == []


def test_a_java_without_an_archive_of_its_own_classes_gets_one(java: Path) -> None:
    (java.parent.parent / "lib" / "server" / "classes.jsa").unlink()
    path = touch(class_archive.archive_path(java))
    assert class_archive.jvm_options(java)[0] == f"-XX:SharedArchiveFile={path.with_suffix('.base.jsa')}:{path}"


def test_outside_of_an_environment_it_is_in_the_cache(
    monkeypatch: pytest.MonkeyPatch, java: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert class_archive.archive_path(java).parent == tmp_path / "cache" / "sparkweave"


def test_another_java_has_another_archive(java: Path) -> None:
    assert class_archive.archive_path(java) != class_archive.archive_path(java.parent / "other" / "java")
