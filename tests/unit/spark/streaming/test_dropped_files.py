from __future__ import annotations

import errno
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from sparkweave.data.archive import ArchiveLimits
from sparkweave.data.image_rows import DecodeOptions
from sparkweave.errors import ResourceError
from sparkweave.filesystem import FileSystem, LocalFileSystem
from sparkweave.spark.streaming.dropped_files import Piece, plan_pieces, read_pieces

LIMITS = ArchiveLimits(max_entry_bytes=1000)


def errors(paths: list[str], *, tasks: int = 2) -> dict[str, str]:
    pieces = plan_pieces(LocalFileSystem(), paths, LIMITS, tasks=tasks)
    return read(pieces)


def read(pieces: list[Piece], fs: FileSystem | None = None) -> dict[str, str]:
    indexes = pa.RecordBatch.from_pydict({"id": list(range(len(pieces)))})
    options = DecodeOptions(height=8, width=8, channels=1, limits=LIMITS, labelled=False)
    rows = [
        row
        for batch in read_pieces([indexes], fs=fs or LocalFileSystem(), pieces=pieces, options=options)
        for row in batch.to_pylist()
    ]
    return {row["path"]: row["error"] for row in rows}


def test_every_path_is_a_row_whatever_it_is(tmp_path: Path) -> None:
    (tmp_path / "long.png").write_bytes(bytes(1001))
    (tmp_path / "empty.png").touch()
    (tmp_path / "no.zip").write_bytes(b"PK")
    names = ["gone.png", "gone.zip", "long.png", "empty.png", "no.zip", "letter.txt"]
    found = errors([str(tmp_path / name) for name in names])
    assert {Path(path).name for path in found} == set(names)
    assert all(found.values())
    assert found[str(tmp_path / "long.png")] == "it has 1,001 bytes; at most 1,000 are read"
    assert found[str(tmp_path / "gone.png")] == "it can't be read: No such file or directory"
    assert "its name ends in none of .png, .jpg, .jpeg, .zip" in found[str(tmp_path / "letter.txt")]


def test_many_images_are_shared_by_the_tasks(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{number}.png") for number in range(200)]
    for path in paths:
        Path(path).touch()
    pieces = plan_pieces(LocalFileSystem(), paths, LIMITS, tasks=2)
    assert [path for piece in pieces for path in piece.files] == paths
    assert max(len(piece.files) for piece in pieces) == 64
    assert [len(piece.files) for piece in plan_pieces(LocalFileSystem(), paths[:4], LIMITS, tasks=2)] == [2, 2]


def test_an_archive_that_changes_after_it_was_planned_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("one.png", b"no image")
    pieces = plan_pieces(LocalFileSystem(), [str(path)], LIMITS, tasks=1)
    path.write_bytes(b"something else")
    assert list(read(pieces)) == [str(path)]


class Failing:
    """A file system that answers every request with the same error."""

    def __init__(self, number: int) -> None:
        self.error = OSError(number, "as HDFS puts it", "hdfs://h/x")

    def size(self, path: str) -> int:
        raise self.error

    def read(self, path: str, offset: int, length: int) -> bytes:
        raise self.error


@pytest.fixture
def archive(tmp_path: Path) -> str:
    with zipfile.ZipFile(path := tmp_path / "a.zip", "w") as file:
        file.writestr("one.png", b"no image")
    return str(path)


def all_pieces(archive: str) -> list[Piece]:
    """An image, and a part of an archive, each in a piece."""
    return [Piece(files=("/x/one.png",)), *plan_pieces(LocalFileSystem(), [archive], LIMITS, tasks=1)]


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN])
def test_what_a_disk_can_t_do_for_now_is_raised_and_never_a_row(archive: str, number: int) -> None:
    for piece in all_pieces(archive):
        with pytest.raises(ResourceError, match=r"can't be read on .* \(as HDFS puts it\); .* this batch is run again"):
            read([piece], Failing(number))
    with pytest.raises(ResourceError, match=r"a\.zip: can't be read on"):
        plan_pieces(Failing(number), [archive], LIMITS, tasks=1)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.EISDIR])
def test_what_is_wrong_with_a_file_on_hdfs_is_a_row(archive: str, number: int) -> None:
    assert all("as HDFS puts it" in error for error in read(all_pieces(archive), Failing(number)).values())
    (piece,) = plan_pieces(Failing(number), [archive], LIMITS, tasks=1)
    assert "as HDFS puts it" in dict(piece.refused)[archive]


def test_a_local_file_that_only_a_task_misses_may_be_on_a_folder_that_is_not_mounted_there(archive: str) -> None:
    pieces = all_pieces(archive)
    Path(archive).unlink()
    for piece in pieces:
        with pytest.raises(
            ResourceError, match=r"No such file or directory.*every machine that runs tasks needs this path"
        ):
            read([piece])
