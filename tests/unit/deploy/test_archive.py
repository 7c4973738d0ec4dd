from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from sparkweave.deploy import archive
from sparkweave.deploy.archive import digest, write_archive

PLACES = ["bin/program", "bin/link", "data/" + "long" * 60, "empty", "large"]


def make_files(root: Path, *, time: int) -> Path:
    (root / "bin").mkdir(parents=True)
    (root / "data").mkdir()
    (root / "bin/program").write_text("#!/bin/sh\n")
    (root / "bin/program").chmod(0o777)
    (root / "bin/link").symlink_to("program")
    (root / PLACES[2]).write_bytes(b"x")
    (root / "empty").touch(0o600)
    (root / "large").write_bytes(bytes(range(256)) * 400)
    for place in PLACES:
        os.utime(root / place, (time, time), follow_symlinks=False)
    return root


def write(root: Path) -> bytes:
    buffer = io.BytesIO()
    write_archive(buffer, root, PLACES)
    return buffer.getvalue()


@pytest.fixture(params=[4096, archive._PIECE])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(archive, "_PIECE", request.param)
    return int(request.param)


def test_it_unpacks_to_what_was_packed(piece: int, tmp_path: Path) -> None:
    root = make_files(tmp_path / "root", time=1_000_000_000)
    content = write(root)
    with tarfile.open(fileobj=io.BytesIO(content)) as file:
        assert file.getnames() == PLACES
        assert [oct(member.mode) for member in file.getmembers()] == ["0o755", "0o777", "0o644", "0o644", "0o644"]
        file.extractall(tmp_path / "there", filter="tar")
    assert (tmp_path / "there/large").read_bytes() == (root / "large").read_bytes()
    assert (tmp_path / "there/bin/link").readlink() == Path("program")
    assert digest(tmp_path / "there", PLACES) == digest(root, PLACES)


def test_tar_reads_it(piece: int, tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(write(make_files(tmp_path / "root", time=1)))
    listed = subprocess.run(["tar", "tzf", tmp_path / "a.tar.gz"], capture_output=True, text=True, check=True)
    assert listed.stdout.split() == PLACES


def test_the_same_files_give_the_same_bytes(piece: int, tmp_path: Path) -> None:
    one = write(make_files(tmp_path / "one", time=1))
    assert one == write(make_files(tmp_path / "two", time=1_700_000_000))
    assert (gzip.decompress(one).count(b"ustar")) >= len(PLACES)


@pytest.mark.parametrize("change", ["content", "mode", "link", "name"])
def test_the_digest_tells_every_difference(tmp_path: Path, change: str) -> None:
    root = make_files(tmp_path / "root", time=1)
    before = digest(root, PLACES)
    places = list(PLACES)
    if change == "content":
        (root / "large").write_bytes(b"other")
    elif change == "mode":
        (root / "empty").chmod(0o755)
    elif change == "link":
        (root / "bin/link").unlink()
        (root / "bin/link").symlink_to("other")
    else:
        (root / "empty").rename(root / "renamed")
        places[3] = "renamed"
    assert digest(root, places) != before
    assert digest(root, list(reversed(places))) == digest(root, places)


def test_a_disk_that_is_full_is_an_error(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_archive(Full(), make_files(tmp_path / "root", time=1), PLACES)
