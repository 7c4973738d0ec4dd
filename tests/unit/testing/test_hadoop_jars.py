from __future__ import annotations

from pathlib import Path

import pytest

from sparkweave.errors import ResourceError
from sparkweave.spark import class_archive
from sparkweave.testing import hadoop_jars
from sparkweave.testing.hadoop_jars import daemon_class_path, hadoop_version, spark_home


def test_the_version_is_that_of_the_client_beside_spark(tmp_path: Path) -> None:
    (tmp_path / "hadoop-client-runtime-3.4.1.jar").touch()
    (tmp_path / "hadoop-client-api-3.5.0.jar").touch()
    assert hadoop_version(tmp_path) == "3.5.0"


def test_a_spark_without_hadoop_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"no hadoop-client-api-X\.Y\.Z\.jar"):
        hadoop_version(tmp_path)


def test_this_environments_spark_comes_with_hadoop() -> None:
    assert hadoop_version(spark_home() / "jars")


@pytest.fixture
def nothing_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(class_archive, "archive_path", lambda java: tmp_path / "cache" / "spark.jsa")
    return tmp_path


def fake_maven(folder: Path, script: str) -> None:
    program = folder / "mvn"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_without_maven_the_error_says_how_to_get_it(nothing_cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(nothing_cached))
    with pytest.raises(ResourceError, match="apt install maven"):
        daemon_class_path(nothing_cached / "java")


def test_what_maven_says_of_its_failure_is_told(nothing_cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_maven(nothing_cached, "echo 'Could not transfer artifact' >&2; exit 7")
    monkeypatch.setenv("PATH", f"{nothing_cached}:/usr/bin:/bin")
    with pytest.raises(ResourceError, match="exit code 7: Could not transfer artifact"):
        daemon_class_path(nothing_cached / "java")
    assert list((nothing_cached / "cache").iterdir()) == []


def test_maven_is_asked_once_for_the_version_of_the_client(
    nothing_cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jars = nothing_cached / "spark" / "jars"
    jars.mkdir(parents=True)
    (jars / "hadoop-client-api-3.4.1.jar").touch()
    monkeypatch.setattr(hadoop_jars, "spark_home", lambda: nothing_cached / "spark")
    fake_maven(nothing_cached, 'cp "$5" /dev/stdout; mkdir "${5%/*}/jars"; cp "$5" "${5%/*}/jars/daemons.jar"')
    monkeypatch.setenv("PATH", f"{nothing_cached}:/usr/bin:/bin")
    first = daemon_class_path(nothing_cached / "java")
    assert [jar.name for jar in first] == ["hadoop-client-api-3.4.1.jar", "daemons.jar"]
    pom = first[1].read_text()
    assert "<artifactId>hadoop-client-minicluster</artifactId><version>3.4.1</version>" in pom
    assert pom.count("org.bouncycastle") == 3
    (nothing_cached / "mvn").unlink()
    assert daemon_class_path(nothing_cached / "java") == first
