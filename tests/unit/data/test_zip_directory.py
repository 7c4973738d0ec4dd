from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sparkweave.data.zip_directory import Records, find_directory, parse_records
from sparkweave.filesystem import LocalFileSystem
from sparkweave.testing.archives import write_archive

ENTRIES = {"0_0.png": b"abc", "größe/1_0.png": b"\x00" * 1000, "2_0.png": b""}


def parse(path: Path) -> tuple[Records, int]:
    fs = LocalFileSystem()
    end = find_directory(fs, str(path), path.stat().st_size)
    records = parse_records(fs.read(str(path), end.start, end.length))
    assert records is not None
    assert len(records) == end.entries
    return records, end.base


def columns(records: Records) -> list[tuple[str, int, int, int, int, int]]:
    arrays = (records.offset, records.method, records.crc, records.compressed, records.size)
    return list(zip(records.names(), *(array.tolist() for array in arrays), strict=True))


def expected(path: Path) -> list[tuple[str, int, int, int, int, int]]:
    with zipfile.ZipFile(path) as archive:
        return [
            (i.filename, i.header_offset, i.compress_type, i.CRC, i.compress_size, i.file_size)
            for i in archive.infolist()
        ]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_columns_are_what_zipfile_reads(tmp_path: Path, method: int) -> None:
    write_archive(path := tmp_path / "a.zip", ENTRIES, method=method)
    records, base = parse(path)
    assert base == 0
    assert columns(records) == expected(path)


def test_zip64_fields_are_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(zipfile, "ZIP64_LIMIT", 1)
        patch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
        write_archive(path := tmp_path / "a.zip", ENTRIES)
    assert b"PK\x06\x06" in path.read_bytes()
    records, base = parse(path)
    assert base == 0
    assert columns(records) == expected(path)


@pytest.mark.parametrize("zip64", [False, True])
def test_what_precedes_the_archive_is_its_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zip64: bool) -> None:
    path = tmp_path / "a.zip"
    with monkeypatch.context() as patch:
        if zip64:
            patch.setattr(zipfile, "ZIP64_LIMIT", 1)
            patch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
        write_archive(path, ENTRIES)
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    assert parse(path)[1] == 10


def test_a_comment_may_hold_the_end_signature(tmp_path: Path) -> None:
    write_archive(path := tmp_path / "a.zip", ENTRIES)
    entries = expected(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"PK\x05\x06" + b"x" * 60_000
    assert columns(parse(path)[0]) == entries


def test_names_without_the_utf8_flag_are_code_page_437(tmp_path: Path) -> None:
    write_archive(path := tmp_path / "a.zip", {"0_xxxx.png": b"1"})
    path.write_bytes(path.read_bytes().replace(b"0_xxxx", b"0_gr\x94\xe1"))
    assert parse(path)[0].names() == ["0_größ.png"]


names = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20).filter(
    lambda n: n != "/"
)


@settings(max_examples=30, deadline=None)
@given(entries=st.dictionaries(names, st.binary(max_size=50), min_size=1, max_size=8), comment=st.binary(max_size=30))
def test_any_archive_that_zipfile_writes_is_read_alike(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[str, bytes], comment: bytes
) -> None:
    assume(b"PK\x05\x06" not in comment)  # which zipfile itself takes for the archive's end
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    write_archive(path, entries, method=zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = comment
    assert columns(parse(path)[0]) == expected(path)


@given(st.binary(max_size=300))
def test_any_other_bytes_are_no_records(raw: bytes) -> None:
    assert parse_records(raw) is None
