from __future__ import annotations

import os
from pathlib import Path

import pytest

from sparkweave.artifacts import swap
from sparkweave.artifacts.storage import LOCAL
from sparkweave.testing.storage import WrappedStorage


def test_what_the_context_leaves_takes_the_place(tmp_path: Path) -> None:
    target = tmp_path / "out"
    for content in ("old", "new"):
        with swap.replacing(str(target), LOCAL) as folder:
            Path(folder).mkdir()
            (Path(folder) / "part").write_text(content)
        assert (target / "part").read_text() == content
    assert os.listdir(tmp_path) == ["out"]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()

    def fail() -> None:
        with swap.replacing(str(tmp_path / "out"), LOCAL) as folder:
            Path(folder).mkdir()
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fail()
    assert os.listdir(tmp_path) == ["out"]


def test_restoring_puts_back_what_was_moved_aside_and_leaves_what_another_may_still_write(tmp_path: Path) -> None:
    for state in ("new", "old"):
        (tmp_path / f".out.{'0' * 16}.{state}").mkdir()
    swap.restore(str(tmp_path / "out"), LOCAL)
    assert sorted(os.listdir(tmp_path)) == [f".out.{'0' * 16}.new", "out"]
    swap.repair(str(tmp_path / "out"), LOCAL)
    assert os.listdir(tmp_path) == ["out"]


def test_waste_is_renamed_before_it_is_removed_so_that_its_writer_fails_at_once(tmp_path: Path) -> None:
    class Watching(WrappedStorage):
        def remove(self, path: str) -> None:
            assert not (tmp_path / waste).exists()
            super().remove(path)

    waste = f".out.{'0' * 16}.new"
    (tmp_path / waste).mkdir()
    swap.repair(str(tmp_path / "out"), Watching())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "target"), [(f".a.b.{'f' * 16}.old", "a.b"), (f".a.{'f' * 15}.old", None), ("a.old", None)]
)
def test_leftovers_are_known_by_their_names(name: str, target: str | None) -> None:
    assert swap.leftover_of(name) == target
