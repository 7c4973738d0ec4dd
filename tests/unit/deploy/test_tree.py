from __future__ import annotations

from pathlib import Path

import pytest

from sparkweave.deploy import tree as module
from sparkweave.deploy.tree import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "root").mkdir()
    return Tree(tmp_path / "root")


def test_sizes_are_those_of_the_owners(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    tree.add(tmp_path / "a", "lib/a", "first")
    tree.write("b", b"123456789", "second")
    tree.write("c", b"1", "first")
    tree.link("d", "b", "third")
    assert tree.sizes() == {"second": 9, "first": 6, "third": 0}
    assert tree.places() == ["b", "c", "d", "lib/a"]
    tree.remove("b")
    assert tree.places() == ["c", "d", "lib/a"]


def test_installed_files_are_links_and_those_that_somebody_edits_copies(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_INSTALLED", (tmp_path / "environment",))
    for folder in ("environment", "project"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "module.py").touch()
        tree.add(tmp_path / folder / "module.py", folder, "x")
    assert tree.path("environment").samefile(tmp_path / "environment" / "module.py")
    assert not tree.path("project").samefile(tmp_path / "project" / "module.py")


@pytest.mark.parametrize("large", [0, 1000])
def test_changing_a_file_leaves_the_installed_one_alone(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    monkeypatch.setattr(module, "_LARGE", large)
    source = tmp_path / "program"
    source.write_bytes(b"before")
    source.chmod(0o775)
    tree.add(source, "bin/program", "x")
    assert (tree.path("bin/program").stat().st_ino == source.stat().st_ino) == (large == 0)
    tree.own("bin/program").write_bytes(b"after")
    assert source.read_bytes() == b"before"
    assert tree.path("bin/program").stat().st_mode & 0o777 == 0o755
    assert [path.name for path in (tree.root / "bin").iterdir()] == ["program"]


def test_a_symbolic_link_becomes_what_it_leads_to(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "real").write_text("content")
    (tmp_path / "link").symlink_to("real")
    tree.add(tmp_path / "link", "file", "x")
    assert not tree.path("file").is_symlink()
    assert tree.path("file").read_text() == "content"


def test_the_last_of_two_files_in_one_place_wins(tree: Tree) -> None:
    tree.write("a", b"1", "first")
    tree.write("a", b"22", "second")
    assert tree.sizes() == {"second": 2}


def test_nothing_is_added_once_the_folder_is_gone(tree: Tree) -> None:
    tree.root.rmdir()
    with pytest.raises(FileNotFoundError):
        tree.write("lib/a", b"", "x")
    assert not tree.root.exists()
