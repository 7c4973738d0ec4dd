"""What a save refuses and survives on the local disk, beside the contract of all storages; a damaged artifact never loads."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkweave.artifacts.manifest import MANIFEST
from sparkweave.artifacts.sealed import check_target, read_sealed, write_sealed
from sparkweave.artifacts.storage import LOCAL, Storage
from sparkweave.errors import ArtifactError
from sparkweave.testing.storage import Crash, CrashingStorage, FullStorage

OLD = {"config.json": b"{}", "model.safetensors": bytes(range(256))}
NEW = {"config.json": b'{"a": 1}', "model.safetensors": b"new" * 100, "extra.json": b"[]"}
FORMS = ("model", "model.zip")


def write(path: Path, blobs: dict[str, bytes], *, overwrite: bool = False, storage: Storage = LOCAL) -> None:
    write_sealed(str(path), blobs, kind="model", overwrite=overwrite, storage=storage)


def read(path: Path) -> dict[str, bytes]:
    return read_sealed(str(path), kind="model")


@pytest.mark.parametrize("form", FORMS)
def test_a_file_url_is_a_path(tmp_path: Path, form: str) -> None:
    write_sealed(f"file://{tmp_path}/{form}", NEW, kind="model")
    assert read(tmp_path / form) == NEW


@pytest.mark.parametrize("form", FORMS)
def test_an_existing_artifact_is_replaced_only_on_request(tmp_path: Path, form: str) -> None:
    write(tmp_path / form, OLD)
    with pytest.raises(ArtifactError, match="already exists; choose another path, or replace it"):
        write(tmp_path / form, NEW)
    with pytest.raises(ArtifactError, match="already exists"):
        check_target(str(tmp_path / form))
    assert read(tmp_path / form) == OLD
    check_target(str(tmp_path / form), overwrite=True)
    write(tmp_path / form, NEW, overwrite=True)
    assert read(tmp_path / form) == NEW
    assert os.listdir(tmp_path) == [form]


def test_what_is_not_an_artifact_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years")
    (tmp_path / "images.zip").write_bytes(b"PK\x03\x04 a user's images")
    (tmp_path / "file").write_text("text")
    (tmp_path / "folder.zip").mkdir()
    for name in ("home", "images.zip", "file", "folder.zip"):
        with pytest.raises(ArtifactError, match="was not written by sparkweave, and is not replaced; choose another"):
            write(tmp_path / name, NEW, overwrite=True)
    assert (tmp_path / "home" / "thesis.txt").read_text() == "years"
    assert len(os.listdir(tmp_path)) == 4


def test_a_crash_in_the_repair_of_a_crash_loses_nothing(tmp_path: Path) -> None:
    between = (
        1 + 1 + len(NEW) + 1 + 1 + 1 + 1
    )  # parent, staging, files, manifest, sync, rename aside, sync: next is rename in
    for step in range(4):
        target = tmp_path / str(step) / "model"
        write(target, OLD)
        with pytest.raises(Crash):
            write(target, NEW, overwrite=True, storage=CrashingStorage(between))
        assert not target.exists()
        assert read(target) == OLD
        with pytest.raises(Crash):
            write(target, NEW, overwrite=True, storage=CrashingStorage(step))
        assert read(target) == OLD
        with pytest.raises(ArtifactError, match="already exists"):
            write(target, NEW)
        write(target, NEW, overwrite=True)
        assert os.listdir(target.parent) == ["model"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("room", [0, 100, 400, 700])
def test_a_full_disk_keeps_the_old_one_and_leaves_no_leftovers(tmp_path: Path, form: str, room: int) -> None:
    write(tmp_path / form, OLD)
    with pytest.raises(ArtifactError, match="was not saved: No space left on device; what was there before is as it"):
        write(tmp_path / form, NEW, overwrite=True, storage=FullStorage(room))
    assert read(tmp_path / form) == OLD
    assert os.listdir(tmp_path) == [form]


@contextlib.contextmanager
def tiny_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if (
        os.geteuid() != 0
        or not shutil.which("mount")
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("form", FORMS)
def test_a_disk_that_is_really_full_keeps_the_old_one(tmp_path: Path, form: str) -> None:
    with tiny_disk(tmp_path / "disk") as disk:
        write(disk / form, OLD)
        with pytest.raises(ArtifactError, match="No space left on device"):
            write(disk / form, {"model.safetensors": b"x" * 300_000}, overwrite=True)
        assert read(disk / form) == OLD
        assert os.listdir(disk) == [form]


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sealed")
    for form in FORMS:
        write(folder / form, OLD)
    return folder


@contextlib.contextmanager
def copied(source: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / source.name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
        yield target


@given(form=st.sampled_from(FORMS), data=st.data())
@settings(max_examples=300, deadline=None)
def test_any_changed_byte_is_refused(sealed: Path, form: str, data: st.DataObject) -> None:
    with copied(sealed / form) as target:
        file = target
        if target.is_dir():
            file = target / data.draw(st.sampled_from([*sorted(OLD), MANIFEST]))
        content = bytearray(file.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        file.write_bytes(content)
        with pytest.raises(ArtifactError, match="model"):
            read(target)


@given(form=st.sampled_from(FORMS), data=st.data())
@settings(max_examples=200, deadline=None)
def test_any_truncation_or_extension_is_refused(sealed: Path, form: str, data: st.DataObject) -> None:
    with copied(sealed / form) as target:
        file = target
        if target.is_dir():
            file = target / data.draw(st.sampled_from([*sorted(OLD), MANIFEST]))
        content = file.read_bytes()
        cut = content[: data.draw(st.integers(0, len(content) - 1))]
        file.write_bytes(data.draw(st.sampled_from([cut, content + b"\0", b"\n" + content])))
        with pytest.raises(ArtifactError, match="model"):
            read(target)


def test_a_missing_file_and_one_that_does_not_belong_are_named(tmp_path: Path) -> None:
    write(tmp_path / "model", OLD)
    (tmp_path / "model" / "pickle.bin").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"model: 'pickle.bin' does not belong to it; move that away"):
        read(tmp_path / "model")
    (tmp_path / "model" / "pickle.bin").unlink()
    (tmp_path / "model" / "config.json").unlink()
    with pytest.raises(ArtifactError, match=r"model: config.json is missing; restore it"):
        read(tmp_path / "model")


def test_the_message_says_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    write(tmp_path / "model", OLD)
    file = tmp_path / "model" / "config.json"
    file.write_bytes(b"[]")
    with pytest.raises(ArtifactError, match=r"config.json was changed after it was written \(its SHA-256 differs\)"):
        read(tmp_path / "model")
    file.write_bytes(b"{")
    with pytest.raises(ArtifactError, match=r"config.json has 1 bytes, 2 were written"):
        read(tmp_path / "model")
    file.write_bytes(b"{}  ")
    with pytest.raises(ArtifactError, match=r"config.json has 4 bytes where at most 2 belong"):
        read(tmp_path / "model")


@pytest.mark.parametrize("name", ["config.json", MANIFEST])
def test_a_link_in_a_folder_is_not_followed(tmp_path: Path, name: str) -> None:
    write(tmp_path / "model", OLD)
    (tmp_path / "model" / name).rename(tmp_path / "elsewhere")
    (tmp_path / "model" / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match=f"{name} is not a regular file; links"):
        read(tmp_path / "model")


def test_a_pipe_in_a_folder_is_refused_without_waiting(tmp_path: Path) -> None:
    write(tmp_path / "model", OLD)
    (tmp_path / "model" / "config.json").unlink()
    os.mkfifo(tmp_path / "model" / "config.json")
    with pytest.raises(ArtifactError, match="not a regular file"):
        read(tmp_path / "model")


def test_a_link_to_an_artifact_is_read_and_saved_through(tmp_path: Path) -> None:
    write(tmp_path / "model", OLD)
    (tmp_path / "latest").symlink_to("model")
    assert read(tmp_path / "latest") == OLD
    write(tmp_path / "latest", NEW, overwrite=True)
    assert (tmp_path / "latest").is_symlink()
    assert read(tmp_path / "model") == NEW


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/b", ".hidden", "", "a" * 65, "a\0b", MANIFEST])
def test_a_name_that_is_more_than_a_name_can_t_be_saved(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match="can't be a file of an artifact"):
        write(tmp_path / "model", {name: b""})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("form", FORMS)
def test_one_kind_is_not_taken_for_another(tmp_path: Path, form: str) -> None:
    write(tmp_path / form, OLD)
    with pytest.raises(ArtifactError, match="it is a 'model' where a 'checkpoint' is needed"):
        read_sealed(str(tmp_path / form), kind="checkpoint")


@pytest.mark.parametrize("form", FORMS)
def test_more_than_the_limit_is_not_read(tmp_path: Path, form: str) -> None:
    write(tmp_path / form, OLD)
    with pytest.raises(ArtifactError, match=r"bytes.*100"):
        read_sealed(str(tmp_path / form), kind="model", max_bytes=100)


def test_what_was_never_an_artifact_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(ArtifactError, match=r"it has no manifest.json, so it is no model"):
        read(tmp_path / "empty")
    with pytest.raises(ArtifactError, match=r"text.zip: it is cut, was changed"):
        read(tmp_path / "text.zip")
    with pytest.raises(ArtifactError, match="hdfs://nn/m: is not on the local disk"):
        write_sealed("hdfs://nn/m", OLD, kind="model")
    with pytest.raises(ArtifactError, match="is the root folder"):
        write_sealed("/", OLD, kind="model")


def test_a_path_through_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(ArtifactError, match=r"was not saved: .*; what was there before"):
        write(tmp_path / "file" / "model", OLD)
    with pytest.raises(ArtifactError, match="no model is here"):
        read(tmp_path / "file" / "model")
