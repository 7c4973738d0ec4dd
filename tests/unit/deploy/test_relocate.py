from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sparkweave.deploy import relocate
from sparkweave.deploy.elf import Binary, read_binary
from sparkweave.deploy.interpreter import Interpreter, find_interpreter
from sparkweave.deploy.relocate import bundle, is_glibc, newest_glibc, read_binaries
from sparkweave.deploy.tree import Tree
from sparkweave.errors import ResourceError

PROGRAM = "bin/python"


@pytest.fixture(scope="module")
def interpreter() -> Interpreter:
    return find_interpreter()


@pytest.fixture
def tree(tmp_path: Path, interpreter: Interpreter) -> Tree:
    (tmp_path / "root").mkdir()
    tree = Tree(tmp_path / "root")
    tree.add(interpreter.executable, PROGRAM, "python")
    return tree


@pytest.mark.parametrize(
    "name", ["libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libpthread.so.0", "libnsl.so.1"]
)
def test_glibc_is_the_nodes(name: str) -> None:
    assert is_glibc(name)


@pytest.mark.parametrize(
    "name", ["libstdc++.so.6", "libcrypt.so.1", "libcrypto.so.3", "libnsl.so.2", "libcublas.so.13", "libmd.so.0"]
)
def test_everything_else_is_not(name: str) -> None:
    assert not is_glibc(name)


def test_the_interpreter_is_bundled_with_what_it_needs(tree: Tree, interpreter: Interpreter) -> None:
    sources = {PROGRAM: interpreter.executable}
    for path, place in interpreter.files():
        if path.suffix == ".so":
            tree.add(path, place, "python")
            sources[place] = path
    binaries = bundle(tree, PROGRAM, sources=sources)
    bundled = {Path(place).name for place in binaries if place.startswith("lib/lib")}
    assert not [name for name in bundled if is_glibc(name)]
    for binary in binaries.values():
        assert all(is_glibc(name) or name in bundled for name in binary.needed)
    changed = read_binaries(tree)
    assert changed[PROGRAM].rpath == ("$ORIGIN/../lib",)
    for place, binary in changed.items():
        assert not binary.runpath, place
        assert all(folder.startswith("$ORIGIN") for folder in binary.rpath)
    listed = subprocess.run(["ldd", tree.path(PROGRAM)], capture_output=True, text=True, check=True).stdout
    assert str(interpreter.prefix) not in listed
    assert "not found" not in listed


def test_what_a_wheel_with_a_runpath_needs_is_loaded_by_the_program(
    tree: Tree, interpreter: Interpreter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, runpath in {"libalone.so": "$ORIGIN", "libplain.so": None}.items():
        tree.write(f"site/{name}", b"\x7fELF", "wheel")
        needed = ("libstdc++.so.6" if runpath else "libother.so.1", "libc.so.6")
        fake(monkeypatch, tree.path(f"site/{name}"), needed=needed, runpath=(runpath,) if runpath else ())
    folder = tmp_path / "machine"
    folder.mkdir()
    for name in ("libstdc++.so.6", "libother.so.1"):
        (folder / name).write_bytes(b"\x7fELF")
        for path in (folder / name, tree.path(f"lib/{name}")):
            fake(monkeypatch, path, needed=("libc.so.6",))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))
    bundle(tree, PROGRAM, sources={PROGRAM: interpreter.executable})
    program = read_binary(tree.path(PROGRAM))
    assert program is not None
    assert "libstdc++.so.6" in program.needed
    assert "libother.so.1" not in program.needed
    assert {"lib/libstdc++.so.6", "lib/libother.so.1"} <= set(tree.places())


def test_a_wheel_may_need_what_is_not_here_but_the_interpreter_may_not(
    tree: Tree, interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.write("site/plugin.so", b"\x7fELF", "wheel")
    fake(monkeypatch, tree.path("site/plugin.so"), needed=("libno-such-driver.so.1",))
    bundle(tree, PROGRAM, sources={PROGRAM: interpreter.executable})
    fake(monkeypatch, tree.path(PROGRAM), needed=("libno-such-python.so.1",))
    with pytest.raises(ResourceError, match=r"bin/python needs libno-such-python.so.1"):
        bundle(tree, PROGRAM, sources={PROGRAM: interpreter.executable})


def test_the_newest_glibc_of_all_counts() -> None:
    binaries = [Binary(machine="EM_X86_64", glibc=version) for version in [(2, 4), (2, 36), (2, 9)]]
    assert newest_glibc(binaries) == (2, 36)
    assert newest_glibc([]) == (0, 0)


def fake(
    monkeypatch: pytest.MonkeyPatch, path: Path, *, needed: tuple[str, ...], runpath: tuple[str, ...] = ()
) -> None:
    """Makes the file at ``path`` count as a library of this machine's kind that needs these."""
    real = relocate.read_binary
    program = read_binary(Path("/proc/self/exe"))
    assert program is not None
    binary = Binary(machine=program.machine, needed=needed, runpath=runpath)
    monkeypatch.setattr(relocate, "read_binary", lambda asked: binary if asked == path else real(asked))
