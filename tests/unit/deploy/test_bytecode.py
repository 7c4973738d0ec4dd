from __future__ import annotations

import marshal
import subprocess
import sys
from pathlib import Path

import pytest

from sparkweave.deploy.bytecode import compile_tree

INTERPRETER = Path(sys.executable)
TAG = sys.implementation.cache_tag


@pytest.fixture
def places(tmp_path: Path) -> list[str]:
    (tmp_path / "package").mkdir()
    for index in range(20):
        (tmp_path / f"package/m{index}.py").write_text(
            f"names = {{'a', 'b', 'c{index}'}}\ndef f(x): return x in {{'a', 'z', 'y'}}\n"
        )
    return [f"package/m{index}.py" for index in range(20)]


def test_each_file_gets_byte_code_that_is_used_unchecked(tmp_path: Path, places: list[str]) -> None:
    pairs = dict(compile_tree(tmp_path, places, INTERPRETER))
    assert pairs["package/m7.py"] == f"package/__pycache__/m7.{TAG}.pyc"
    assert set(pairs) == set(places)
    (tmp_path / "package/m7.py").write_text("names = 'the source, read again'\n")
    command = [sys.executable, "-c", "import package.m7 as m; print(sorted(m.names))"]
    assert (
        subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout == "['a', 'b', 'c7']\n"
    )


def test_the_same_source_gives_the_same_bytes(tmp_path: Path, places: list[str]) -> None:
    def compiled() -> list[bytes]:
        return [(tmp_path / code).read_bytes() for _, code in sorted(compile_tree(tmp_path, places, INTERPRETER))]

    assert compiled() == compiled()


def test_it_names_no_folder_of_this_machine(tmp_path: Path, places: list[str]) -> None:
    (_, code), *_ = compile_tree(tmp_path, places[:1], INTERPRETER)
    assert marshal.loads((tmp_path / code).read_bytes()[16:]).co_filename == "package/m0.py"
    assert str(tmp_path).encode() not in (tmp_path / code).read_bytes()


def test_what_is_no_python_has_none(tmp_path: Path, places: list[str]) -> None:
    (tmp_path / "template.py").write_text("class {{name}}:\n")
    (tmp_path / "binary.py").write_bytes(b"\xff\xfe\0")
    pairs = compile_tree(tmp_path, ["template.py", *places, "binary.py"], INTERPRETER)
    assert sorted(source for source, _ in pairs) == sorted(places)


def test_nothing_to_compile(tmp_path: Path) -> None:
    assert compile_tree(tmp_path, [], INTERPRETER) == []
