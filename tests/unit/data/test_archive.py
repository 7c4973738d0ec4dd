from __future__ import annotations

import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest

from sparkweave.data.archive import ArchiveLimits, is_passed_over, read_directory
from sparkweave.errors import ArchiveError, ConfigError
from sparkweave.filesystem import LocalFileSystem
from sparkweave.testing.archives import HOSTILE_ARCHIVES, write_archive, write_image_archive

SAYS = {
    "empty file": "the file is empty; give",
    "not a ZIP": "not a ZIP archive",
    "empty ZIP": "holds no entries",
    "no images": "holds 2 other entries, such as 'README.txt'",
    "truncated": "truncated or damaged: copy it again",
    "one byte short": "truncated or damaged: copy it again",
    "front missing": "truncated or damaged: copy it again",
    "several disks": "join the parts",
    "overlapping entries": "49 entries overlap",
    "bomb of many small entries": "72000000 bytes in a file of .* a ratio of at most 100",
    "entry past the end": "'0_0001.png'",
}


@pytest.mark.parametrize("fault", HOSTILE_ARCHIVES)
def test_a_faulty_archive_is_refused_naming_it_and_the_rule(tmp_path: Path, fault: str) -> None:
    path = str(tmp_path / "bad.zip")
    HOSTILE_ARCHIVES[fault](path)
    tracemalloc.start()
    with pytest.raises(ArchiveError, match=SAYS[fault]) as caught:
        read_directory(LocalFileSystem(), path, ArchiveLimits())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(caught.value).startswith(path)
    assert peak < 2_000_000


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"max_entries": 5}, "declares 6 entries; at most 5"),
        ({"max_directory_bytes": 100}, "central directory takes 336 bytes; at most 100"),
        ({"max_total_bytes": 100}, "declare .* bytes; at most 100"),
    ],
)
def test_limits_are_checked_on_what_is_declared(tmp_path: Path, limits: dict[str, Any], says: str) -> None:
    write_image_archive(path := str(tmp_path / "a.zip"), labels=("0", "1"), images_per_label=3)
    with pytest.raises(ArchiveError, match=says):
        read_directory(LocalFileSystem(), path, ArchiveLimits(**limits))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"no\.zip: can't be read \(No such file"):
        read_directory(LocalFileSystem(), str(tmp_path / "no.zip"), ArchiveLimits())


def test_a_directory_cut_in_its_middle_is_damaged(tmp_path: Path) -> None:
    write_image_archive(path := tmp_path / "a.zip")
    path.write_bytes(path.read_bytes().replace(b"PK\x01\x02", b"PK\x01\x03", 1))
    with pytest.raises(ArchiveError, match="does not hold the 30 entries it declares"):
        read_directory(LocalFileSystem(), str(path), ArchiveLimits())


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "many"])
def test_limits_are_positive_numbers(value: Any) -> None:
    with pytest.raises(ConfigError, match="max_ratio"):
        ArchiveLimits(max_ratio=value)


@pytest.mark.parametrize(
    ("name", "passed_over"),
    [
        ("a/", True),
        ("__MACOSX/a/._0_1.png", True),
        ("x/__MACOSX/0_1.png", True),
        (".DS_Store", True),
        ("a/.0_1.png", True),
        ("0_1.png", False),
        ("./a/0_1.png", False),
        ("Thumbs.db", False),
    ],
)
def test_folders_and_leftovers_are_passed_over(name: str, passed_over: bool) -> None:
    assert is_passed_over(name) is passed_over


def test_more_than_65535_entries_without_zip64_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_archive(path := tmp_path / "a.zip", ((f"0_{number}.png", b"") for number in range(65_600)))
    content = path.read_bytes()
    end = content.rindex(b"PK\x05\x06")
    start = content.index(b"PK\x06\x06")
    wrapped = (65_600 & 0xFFFF).to_bytes(2, "little")
    path.write_bytes(content[:start] + content[end : end + 8] + wrapped * 2 + content[end + 12 :])
    began = time.perf_counter()
    directory = read_directory(LocalFileSystem(), str(path), ArchiveLimits())
    assert time.perf_counter() - began < 2  # 0.05 s on an idle core
    assert len(directory.records) == 65_600
    assert zipfile.is_zipfile(path)
