from __future__ import annotations

import pickle
import random
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkweave.data import splits as splits_module
from sparkweave.data.archive import ArchiveLimits
from sparkweave.data.splits import Entry, plan_splits, read_split
from sparkweave.errors import ArchiveError
from sparkweave.filesystem import LocalFileSystem
from sparkweave.testing.archives import HOSTILE_ENTRIES, write_archive, write_image_archive

FS, LIMITS = LocalFileSystem(), ArchiveLimits()


class CountingFileSystem(LocalFileSystem):
    def __init__(self) -> None:
        self.reads: list[int] = []

    def read(self, path: str, offset: int, length: int) -> bytes:
        self.reads.append(length)
        return super().read(path, offset, length)


def read_all(path: Path | str, count: int = 1, limits: ArchiveLimits = LIMITS) -> list[Entry]:
    plan = plan_splits(FS, [str(path)], count=count, min_bytes=1, limits=limits)
    return [entry for split in plan for entry in read_split(FS, pickle.loads(pickle.dumps(split)), limits)]


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=30),
    count=st.integers(1, 40),
    deflated=st.booleans(),
    prefix=st.binary(max_size=20),
    window=st.integers(1, 5000),
    gap=st.integers(0, 500),
)
def test_every_entry_is_read_exactly_once_however_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    count: int,
    deflated: bool,
    prefix: bytes,
    window: int,
    gap: int,
) -> None:
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    entries = {f"dir/{i}_{i}.png": random.Random(i).randbytes(size) for i, size in enumerate(sizes)}
    write_archive(path, {"dir/": b""} | entries, method=zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED)
    path.write_bytes(prefix + path.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splits_module, "_WINDOW_BYTES", window)
        patch.setattr(splits_module, "_MAX_GAP_BYTES", gap)
        assert sorted(read_all(path, count)) == sorted((name, content, None) for name, content in entries.items())


def test_splits_are_about_as_many_as_asked_and_of_similar_length(tmp_path: Path) -> None:
    write_image_archive(path := tmp_path / "a.zip", images_per_label=50)
    plan = plan_splits(FS, [str(path)], count=6, min_bytes=1)
    assert [split.count for split in plan] == pytest.approx([25] * 6, abs=2)
    assert len(plan_splits(FS, [str(path)], count=6)) == 1, "too little for several tasks"
    assert len(plan_splits(FS, [str(path)] * 3, count=1)) == 3
    assert len(plan_splits(FS, [str(path)], count=10_000, min_bytes=1)) > 140


def test_entries_in_another_order_than_the_directory_are_read(tmp_path: Path) -> None:
    names = write_image_archive(path := tmp_path / "a.zip")
    content = path.read_bytes()
    at = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    records = [b"PK\x01\x02" + record for record in content[at:end].split(b"PK\x01\x02")[1:]]
    random.Random(0).shuffle(records)
    path.write_bytes(content[:at] + b"".join(records) + content[end:])
    for count in (1, 4):
        entries = read_all(path, count)
        assert sorted(name for name, _, _ in entries) == sorted(names)
        assert all(data and reason is None for _, data, reason in entries)


def test_ranges_are_read_in_few_large_pieces(tmp_path: Path) -> None:
    write_image_archive(path := tmp_path / "a.zip", images_per_label=50)
    (split,) = plan_splits(FS, [str(path)])
    fs = CountingFileSystem()
    assert sum(1 for _ in read_split(fs, split, LIMITS)) == 150
    assert len(fs.reads) == 2, "its part of the directory, and all its entries"


ENTRY_SAYS = {
    "encrypted entry": "without a password",
    "unknown method": "method 12; only stored",
    "wrong checksum": "CRC-32",
    "size too large": "declares 5000 bytes",
    "size too small": "does not inflate to the 500 bytes",
    "not where the directory says": "contradict each other",
    "bytes missing in the middle": "contradict each other",
    "ratio bomb": "a ratio of at most 100",
    "not an image's name": "does not end in .png",
    "a name twice": "came before",
}


@pytest.mark.parametrize("fault", ENTRY_SAYS)
def test_a_bad_entry_has_its_reason_and_the_others_are_read(tmp_path: Path, fault: str) -> None:
    path = str(tmp_path / "bad.zip")
    HOSTILE_ENTRIES[fault](path)
    tracemalloc.start()
    for count in (1, 3):
        entries = read_all(path, count)
        reasons = [reason for _, _, reason in entries if reason is not None]
        assert reasons
        assert all(ENTRY_SAYS[fault] in reason for reason in reasons)
        assert sum(content is not None for _, content, _ in entries) == len(entries) - len(reasons) > 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000, "nothing large is inflated"


def test_an_entry_over_the_limit_is_not_read(tmp_path: Path) -> None:
    write_archive(path := tmp_path / "a.zip", {"0_0.png": bytes(1001), "0_1.png": bytes(1000)})
    entries = read_all(path, limits=ArchiveLimits(max_entry_bytes=1000))
    assert [(name, content is None) for name, content, _ in entries] == [("0_0.png", True), ("0_1.png", False)]
    assert "declares 1001 bytes" in str(entries[0][2])


def test_a_damaged_stream_is_a_reason(tmp_path: Path) -> None:
    write_archive(path := tmp_path / "a.zip", {"0_0.png": bytes(range(250)) * 9}, method=zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    content[37:60] = b"\xff" * 23
    path.write_bytes(content)
    assert "does not inflate" in str(read_all(path)[0][2])


def test_an_archive_that_changes_after_the_plan_is_noticed(tmp_path: Path) -> None:
    write_image_archive(path := tmp_path / "a.zip")
    (split,) = plan_splits(FS, [str(path)])
    write_image_archive(path, labels=("5", "6", "7"))
    with pytest.raises(ArchiveError, match="changed since this run began"):
        list(read_split(FS, split, LIMITS))
    path.unlink()
    with pytest.raises(ArchiveError, match="every machine that runs tasks"):
        list(read_split(FS, split, LIMITS))
