from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from sparkweave.deploy import pack as module
from sparkweave.deploy.pack import METADATA, Order, pack, read_metadata
from sparkweave.errors import ArtifactError, ConfigError, ResourceError


def write_archive(path: Path, entries: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("name", ["environment.zip", "environment", "environment.tar"])
def test_the_name_says_what_it_is(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"end it in \.tar\.gz"):
        pack(Order(output=tmp_path / name))


def test_an_output_that_exists_is_kept(tmp_path: Path) -> None:
    output = tmp_path / "environment.tar.gz"
    output.write_text("precious")
    with pytest.raises(ArtifactError, match="exists; give another name, or --overwrite"):
        pack(Order(output=output))
    assert output.read_text() == "precious"


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder.tar.gz").mkdir()
    with pytest.raises(ArtifactError, match=r"exists; give another name$"):
        pack(Order(output=tmp_path / "folder.tar.gz", overwrite=True))
    with pytest.raises(ArtifactError, match="there is no folder"):
        pack(Order(output=tmp_path / "none" / "environment.tar.gz"))


def test_what_is_missing_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing is there"):
        pack(Order(output=tmp_path / "environment.tar.gz", modules=(tmp_path / "mine.py",)))
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_old_archive_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "environment.tar.gz"
    output.write_text("the old one")

    def fail(*arguments: object, **options: object) -> None:
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".sparkweave-pack-")]
        raise ResourceError("no such library")

    monkeypatch.setattr(module, "find_packages", lambda *arguments, **options: [])
    monkeypatch.setattr(module, "bundle", fail)
    with pytest.raises(ResourceError, match="no such library"):
        pack(Order(output=output, overwrite=True))
    assert [path.name for path in tmp_path.iterdir()] == [output.name]
    assert output.read_text() == "the old one"


def test_the_description_is_read_from_the_first_entry_alone(tmp_path: Path) -> None:
    record = {"format": 1, "python": "3.11.7", "packages": {"torch": "2.15.0"}}
    path = write_archive(tmp_path / "a.tar.gz", {METADATA: json.dumps(record).encode(), "large": bytes(50_000_000)})
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    assert read_metadata(path) == record


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "was not packed by this version"),
        ({"bin/python": b""}, "was not packed by this version"),
        ({METADATA: b'{"format": 2}'}, "was not packed by this version"),
        ({METADATA: b"[]"}, "was not packed by this version"),
        ({METADATA: b"{"}, "can't be read as an environment"),
    ],
)
def test_another_archive_is_refused(tmp_path: Path, entries: dict[str, bytes], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        read_metadata(write_archive(tmp_path / "a.tar.gz", entries))


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"text")
    for name in ("a.tar.gz", "none.tar.gz"):
        with pytest.raises(ArtifactError, match="can't be read as an environment"):
            read_metadata(tmp_path / name)
