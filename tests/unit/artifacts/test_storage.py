"""The local disk keeps what every storage promises."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contracts.sealed import SealedContract
from tests.contracts.storage import StorageContract

from sparkweave.artifacts.storage import LocalStorage, Storage
from sparkweave.errors import ArtifactError


@pytest.fixture
def storage() -> Storage:
    return LocalStorage()


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path)


class TestStorage(StorageContract):
    pass


class TestSealed(SealedContract):
    pass


def test_a_link_is_no_file(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "link").symlink_to("file")
    assert storage.kind(str(tmp_path / "link")) == "other"
    with pytest.raises(ArtifactError, match="is not a regular file; links and devices are not followed"):
        storage.read(str(tmp_path / "link"), limit=9)


def test_links_on_the_way_are_followed_and_other_file_systems_refused(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert storage.resolve(f"file://{tmp_path}/link/model") == str(tmp_path.resolve() / "model")
    with pytest.raises(ArtifactError, match="hdfs://nn/model: is not on the local disk; give a path or a file: URL"):
        storage.resolve("hdfs://nn/model")
