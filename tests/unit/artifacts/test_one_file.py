from __future__ import annotations

from pathlib import Path

import pytest

from sparkweave.artifacts.one_file import OneFile
from sparkweave.artifacts.storage import LOCAL, LocalStorage
from sparkweave.errors import ArtifactError

FILE = OneFile(signature=b"ours", writer="sparkweave write")


def test_a_file_is_replaced_only_when_asked_and_only_by_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    assert FILE.write(str(path), b"ours 1") == str(path)
    with pytest.raises(ArtifactError, match=r"already exists; choose another path, or replace it \(--overwrite\)"):
        FILE.check(str(path))
    FILE.write(str(path), b"theirs", overwrite=True)
    with pytest.raises(ArtifactError, match="was not written by sparkweave write, and is not replaced"):
        FILE.write(str(path), b"ours 2", overwrite=True)
    assert path.read_bytes() == b"theirs"


def test_what_somebody_else_put_there_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write = LocalStorage.write

    def meanwhile(self: LocalStorage, staging: str, content: bytes) -> None:
        path.write_text("somebody else's")
        write(self, staging, content)

    monkeypatch.setattr(LocalStorage, "write", meanwhile)
    with pytest.raises(ArtifactError, match="already exists"):
        FILE.write(str(path), b"ours")
    assert LOCAL.list(str(tmp_path)) == ["file"]
    assert path.read_text() == "somebody else's"
