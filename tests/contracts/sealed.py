"""A save shows all of the old or all of the new, whatever happens, on every storage; see `StorageContract` for the fixtures."""

from __future__ import annotations

import threading

import pytest

from sparkweave.artifacts.sealed import read_sealed, write_sealed
from sparkweave.artifacts.storage import Storage
from sparkweave.errors import ArtifactError
from sparkweave.testing.storage import Crash, CrashingStorage, RefusingStorage, WrappedStorage

OLD = {"config.json": b"{}"}
NEW = {"config.json": b'{"a": 1}', "model.safetensors": b"new" * 100}
FORMS = ("model", "model.zip")


def write(url: str, blobs: dict[str, bytes], storage: Storage, *, overwrite: bool = False) -> None:
    write_sealed(url, blobs, kind="model", overwrite=overwrite, storage=storage)


def read(url: str, storage: Storage) -> dict[str, bytes]:
    return read_sealed(url, kind="model", storage=storage)


def names(folder: str, storage: Storage) -> list[str]:
    return storage.list(storage.resolve(folder))


@pytest.mark.parametrize("form", FORMS)
class SealedContract:
    def test_what_was_written_is_read_and_replaced(self, storage: Storage, root: str, form: str) -> None:
        url = f"{root}/deep/er/{form}"
        write(url, OLD, storage)
        assert read(url, storage) == OLD
        with pytest.raises(ArtifactError, match="already exists; choose another path, or replace it"):
            write(url, NEW, storage)
        write(url, NEW, storage, overwrite=True)
        assert read(url, storage) == NEW
        assert names(f"{root}/deep/er", storage) == [form]

    def test_a_crash_at_any_step_leaves_the_old_or_the_new_whole_and_the_next_save_clears_up(
        self, storage: Storage, root: str, form: str
    ) -> None:
        counting = CrashingStorage(inner=storage)
        write(f"{root}/count/{form}", OLD, storage)
        write(f"{root}/count/{form}", NEW, counting, overwrite=True)
        assert counting.steps >= 4
        seen = []
        for step in range(counting.steps):
            url = f"{root}/{step}/{form}"
            write(url, OLD, storage)
            with pytest.raises(Crash):
                write(url, NEW, CrashingStorage(step, storage), overwrite=True)
            seen.append(read(url, storage))
            assert seen[-1] in (OLD, NEW)
            write(url, OLD, storage, overwrite=True)
            assert read(url, storage) == OLD
            assert names(f"{root}/{step}", storage) == [form]
        assert OLD in seen
        assert NEW in seen
        assert sorted(seen, key=lambda blobs: blobs == NEW) == seen, "once the new one is in place, it stays"

    def test_a_crash_at_any_step_of_a_first_save_leaves_nothing_or_the_new(
        self, storage: Storage, root: str, form: str
    ) -> None:
        counting = CrashingStorage(inner=storage)
        write(f"{root}/count/{form}", NEW, counting)
        for step in range(counting.steps):
            url = f"{root}/{step}/{form}"
            with pytest.raises(Crash):
                write(url, NEW, CrashingStorage(step, storage))
            if storage.kind(storage.resolve(url)) is not None:
                assert read(url, storage) == NEW
            else:
                with pytest.raises(ArtifactError, match="no model is here; check the path"):
                    read(url, storage)
            write(url, OLD, storage, overwrite=True)
            assert read(url, storage) == OLD
            assert names(f"{root}/{step}", storage) == [form]

    def test_a_refused_rename_puts_the_old_one_back(self, storage: Storage, root: str, form: str) -> None:
        write(f"{root}/{form}", OLD, storage)
        for step in range(2 if form == "model" else 1):
            with pytest.raises(ArtifactError, match="Input/output error"):
                write(f"{root}/{form}", NEW, RefusingStorage(step, storage), overwrite=True)
            assert read(f"{root}/{form}", storage) == OLD
            assert names(root, storage) == [form]

    def test_of_two_saves_at_the_same_time_one_wins_whole(self, storage: Storage, root: str, form: str) -> None:
        class Rival(WrappedStorage):
            """Lets another save begin and end after each file that is staged."""

            def write(self, path: str, content: bytes) -> None:
                super().write(path, content)
                write(f"{root}/{form}", OLD, storage, overwrite=True)

        with pytest.raises(ArtifactError, match="was not saved"):
            write(f"{root}/{form}", NEW, Rival(storage), overwrite=True)
        assert read(f"{root}/{form}", storage) == OLD
        assert names(root, storage) == [form]

    def test_many_saves_at_once_leave_one_whole_model_and_nothing_else(
        self, storage: Storage, root: str, form: str
    ) -> None:
        blobs = [{name: content + b"%d" % number for name, content in NEW.items()} for number in range(4)]
        failures: list[Exception] = []
        write(f"{root}/{form}", OLD, storage)

        def save(content: dict[str, bytes]) -> None:
            try:
                write(f"{root}/{form}", content, storage, overwrite=True)
            except ArtifactError as error:
                failures.append(error)

        threads = [threading.Thread(target=save, args=(content,)) for content in blobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert read(f"{root}/{form}", storage) in (blobs if len(failures) < len(blobs) else [OLD])
        write(f"{root}/{form}", OLD, storage, overwrite=True)
        assert names(root, storage) == [form]
