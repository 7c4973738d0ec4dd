"""What every `sparkweave.artifacts.storage.Storage` promises. A subclass gives the fixtures ``storage`` and ``root``."""

from __future__ import annotations

import os
import threading

import pytest

from sparkweave.artifacts.storage import Storage
from sparkweave.errors import ArtifactError


class StorageContract:
    """``root`` is an existing, empty folder of ``storage``, as a URL."""

    @pytest.fixture
    def folder(self, storage: Storage, root: str) -> str:
        return storage.resolve(root)

    def test_a_url_is_resolved_once_and_for_all(self, storage: Storage, root: str, folder: str) -> None:
        assert storage.resolve(folder) == folder
        assert storage.resolve(f"{root}/a/../b c%20d") == f"{folder}/b c%20d"
        assert storage.resolve(os.path.dirname(f"{folder}/x")) == folder

    def test_the_root_folder_is_refused(self, storage: Storage, folder: str) -> None:
        def climb() -> None:
            path = folder
            while True:
                path = storage.resolve(os.path.dirname(path))

        with pytest.raises(ArtifactError, match="is the root folder; give a path under it"):
            climb()

    def test_what_was_written_is_read(self, storage: Storage, folder: str) -> None:
        content = bytes(range(256)) * 5000
        storage.write(f"{folder}/file", content)
        storage.write(f"{folder}/empty", b"")
        assert storage.read(f"{folder}/file", limit=len(content)) == content
        assert storage.read(f"{folder}/empty", limit=0) == b""
        assert storage.tail(f"{folder}/file", 3) == content[-3:]
        assert storage.tail(f"{folder}/empty", 3) == b""
        assert storage.list(folder) == ["empty", "file"]

    def test_kinds_are_told_apart(self, storage: Storage, folder: str) -> None:
        storage.write(f"{folder}/file", b"1")
        assert storage.kind(folder) == "folder"
        assert storage.kind(f"{folder}/file") == "file"
        assert storage.kind(f"{folder}/nothing") is None
        assert storage.kind(f"{folder}/file/below") is None

    def test_a_missing_folder_has_no_names(self, storage: Storage, folder: str) -> None:
        storage.write(f"{folder}/file", b"1")
        assert storage.list(f"{folder}/nothing") == []
        assert storage.list(f"{folder}/file") == []

    def test_what_is_missing_or_no_file_or_too_long_is_not_read(self, storage: Storage, folder: str) -> None:
        storage.write(f"{folder}/file", b"12345")
        with pytest.raises(FileNotFoundError):
            storage.read(f"{folder}/nothing", limit=9)
        with pytest.raises(ArtifactError, match="is not a regular file"):
            storage.read(folder, limit=9)
        with pytest.raises(ArtifactError, match="has 5 bytes where at most 4 belong"):
            storage.read(f"{folder}/file", limit=4)

    def test_a_file_that_exists_is_not_written_again(self, storage: Storage, folder: str) -> None:
        storage.write(f"{folder}/file", b"first")
        with pytest.raises(FileExistsError):
            storage.write(f"{folder}/file", b"second")
        assert storage.read(f"{folder}/file", limit=9) == b"first"

    def test_of_many_that_create_a_file_one_succeeds(self, storage: Storage, folder: str) -> None:
        created: list[int] = []

        def create(number: int) -> None:
            try:
                storage.write(f"{folder}/file", b"%d" % number)
                created.append(number)
            except FileExistsError:
                pass

        threads = [threading.Thread(target=create, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(created) == 1
        assert storage.read(f"{folder}/file", limit=9) == b"%d" % created[0]

    def test_a_write_makes_no_folders(self, storage: Storage, folder: str) -> None:
        with pytest.raises(FileNotFoundError):
            storage.write(f"{folder}/removed/file", b"1")
        assert storage.list(folder) == []

    def test_folders_are_made_with_those_above_them(self, storage: Storage, folder: str) -> None:
        for _ in range(2):
            storage.make_folder(f"{folder}/a/b")
        storage.sync_folder(f"{folder}/a/b")
        assert storage.kind(f"{folder}/a/b") == "folder"
        storage.write(f"{folder}/file", b"1")
        with pytest.raises(OSError):  # noqa: PT011 - whichever the file system raises
            storage.make_folder(f"{folder}/file/below")

    def test_a_file_replaces_a_file(self, storage: Storage, folder: str) -> None:
        storage.write(f"{folder}/new", b"new")
        storage.write(f"{folder}/old", b"old")
        storage.rename(f"{folder}/new", f"{folder}/old")
        assert storage.read(f"{folder}/old", limit=9) == b"new"
        assert storage.list(folder) == ["old"]

    def test_a_folder_moves_with_what_is_in_it(self, storage: Storage, folder: str) -> None:
        storage.make_folder(f"{folder}/a")
        storage.write(f"{folder}/a/file", b"1")
        storage.rename(f"{folder}/a", f"{folder}/b")
        assert storage.list(folder) == ["b"]
        assert storage.read(f"{folder}/b/file", limit=9) == b"1"

    def test_a_folder_never_goes_into_another_nor_replaces_it(self, storage: Storage, folder: str) -> None:
        for name in ("a", "b"):
            storage.make_folder(f"{folder}/{name}")
            storage.write(f"{folder}/{name}/{name}", b"1")
        with pytest.raises(OSError):  # noqa: PT011 - whichever the file system raises
            storage.rename(f"{folder}/a", f"{folder}/b")
        assert storage.list(f"{folder}/a") == ["a"]
        assert storage.list(f"{folder}/b") == ["b"]

    def test_nothing_can_t_be_moved(self, storage: Storage, folder: str) -> None:
        with pytest.raises(FileNotFoundError):
            storage.rename(f"{folder}/nothing", f"{folder}/there")
        assert storage.list(folder) == []

    def test_files_folders_and_nothing_are_removed(self, storage: Storage, folder: str) -> None:
        storage.make_folder(f"{folder}/a/b")
        storage.write(f"{folder}/a/b/file", b"1")
        storage.write(f"{folder}/file", b"1")
        for name in ("a", "file", "nothing"):
            storage.remove(f"{folder}/{name}")
        assert storage.list(folder) == []

    def test_only_an_empty_folder_is_removed_as_one(self, storage: Storage, folder: str) -> None:
        storage.make_folder(f"{folder}/a/b")
        with pytest.raises(OSError):  # noqa: PT011 - whichever the file system raises
            storage.remove_empty(f"{folder}/a")
        storage.remove_empty(f"{folder}/a/b")
        storage.remove_empty(f"{folder}/a")
        assert storage.list(folder) == []
