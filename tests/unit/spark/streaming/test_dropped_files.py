from __future__ import annotations

import zipfile
from pathlib import Path

import pyarrow as pa

from sparkweave.data.archive import ArchiveLimits
from sparkweave.data.image_rows import DecodeOptions
from sparkweave.filesystem import LocalFileSystem
from sparkweave.spark.streaming.dropped_files import plan_pieces, read_pieces

LIMITS = ArchiveLimits(max_entry_bytes=1000)


def errors(paths: list[str], *, tasks: int = 2) -> dict[str, str]:
    pieces = plan_pieces(LocalFileSystem(), paths, LIMITS, tasks=tasks)
    return read(pieces)


def read(pieces: list) -> dict[str, str]:  # type: ignore[type-arg]
    indexes = pa.RecordBatch.from_pydict({"id": list(range(len(pieces)))})
    options = DecodeOptions(height=8, width=8, channels=1, limits=LIMITS, labelled=False)
    rows = [
        row
        for batch in read_pieces([indexes], fs=LocalFileSystem(), pieces=pieces, options=options)
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


def test_many_images_are_shared_by_the_tasks() -> None:
    paths = [f"{number}.png" for number in range(200)]
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
