"""The newest whole checkpoint of the same run is found, whatever happened to the others."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkweave.artifacts.checkpoint import Checkpoint, CheckpointStore
from sparkweave.errors import ArtifactError, ConfigError
from sparkweave.testing.storage import Crash, CrashingStorage, FullStorage

RUN: dict[str, Any] = {"seed": 0, "network": "lenet", "betas": (0.9, 0.999)}


def store(folder: Path, **options: Any) -> CheckpointStore:
    return CheckpointStore(str(folder), **{"fingerprint": RUN, **options})


def blobs(epoch: int) -> dict[str, bytes]:
    return {"state.safetensors": b"state %d " % epoch * 20}


def test_an_empty_or_missing_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert store(tmp_path / "none").latest() is None
    assert store(tmp_path).latest() is None
    assert os.listdir(tmp_path) == []


def test_the_newest_is_found_and_two_are_kept(tmp_path: Path) -> None:
    for epoch in (1, 2, 3, 11):
        store(tmp_path / "run").save(epoch, blobs(epoch))
    assert store(tmp_path / "run").latest() == Checkpoint(epoch=11, blobs=blobs(11))
    assert store(tmp_path / "run").epochs() == [3, 11]
    assert sorted(os.listdir(tmp_path / "run")) == ["epoch-000003.zip", "epoch-000011.zip"]


def test_a_damaged_one_is_passed_over_with_a_warning_and_replaced_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for epoch in (1, 2):
        store(tmp_path).save(epoch, blobs(epoch))
    (tmp_path / "epoch-000002.zip").write_bytes(b"cut")
    with caplog.at_level(logging.WARNING):
        assert store(tmp_path).latest() == Checkpoint(epoch=1, blobs=blobs(1))
    assert "passing over the checkpoint of epoch 2: " in caplog.text
    store(tmp_path).save(2, blobs(2))
    assert store(tmp_path).latest() == Checkpoint(epoch=2, blobs=blobs(2))


def test_if_none_is_whole_it_is_an_error_not_a_fresh_start(tmp_path: Path) -> None:
    for epoch in (1, 2):
        store(tmp_path).save(epoch, blobs(epoch))
        (tmp_path / f"epoch-00000{epoch}.zip").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"none of the checkpoints \(1, 2\) is whole; start without resuming"):
        store(tmp_path).latest()


def test_another_run_is_refused_with_what_differs(tmp_path: Path) -> None:
    store(tmp_path).save(1, blobs(1))
    with pytest.raises(
        ArtifactError, match="of another run: extra is None there and 1 here; seed is 0 there and 7 here"
    ):
        store(tmp_path, fingerprint={**RUN, "seed": 7, "extra": 1}).latest()
    assert store(tmp_path, fingerprint=dict(reversed(RUN.items()))).latest() is not None


def test_saving_an_earlier_epoch_drops_the_later_ones_it_left_behind(tmp_path: Path) -> None:
    for epoch in (4, 5):
        store(tmp_path).save(epoch, blobs(epoch))
    store(tmp_path).save(3, blobs(3))
    assert store(tmp_path).latest() == Checkpoint(epoch=3, blobs=blobs(3))


def test_a_crash_at_any_step_of_a_save_loads_the_one_before_or_the_new_one(tmp_path: Path) -> None:
    counting = CrashingStorage()
    for epoch in (1, 2, 3):
        store(tmp_path / "count", storage=counting).save(epoch, blobs(epoch))
        before, counting.steps = counting.steps, 0
    assert before >= 5
    for step in range(before):
        folder = tmp_path / str(step)
        for epoch in (1, 2):
            store(folder).save(epoch, blobs(epoch))
        with pytest.raises(Crash):
            store(folder, storage=CrashingStorage(step)).save(3, blobs(3))
        found = store(folder).latest()
        assert found in (Checkpoint(epoch=2, blobs=blobs(2)), Checkpoint(epoch=3, blobs=blobs(3)))
        store(folder).save(4, blobs(4))
        assert len(os.listdir(folder)) == 2, "leftovers are removed by the next save"
        assert store(folder).latest() == Checkpoint(epoch=4, blobs=blobs(4))


def test_a_full_disk_keeps_the_ones_before(tmp_path: Path) -> None:
    for epoch in (1, 2):
        store(tmp_path).save(epoch, blobs(epoch))
    with pytest.raises(ArtifactError, match="No space left on device"):
        store(tmp_path, storage=FullStorage(50)).save(3, blobs(3))
    assert store(tmp_path).latest() == Checkpoint(epoch=2, blobs=blobs(2))
    assert store(tmp_path).epochs() == [1, 2]


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_any_changed_byte_or_cut_falls_back(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("run")
    for epoch in (1, 2):
        store(folder).save(epoch, blobs(epoch))
    content = bytearray((folder / "epoch-000002.zip").read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[place:]
    (folder / "epoch-000002.zip").write_bytes(content)
    assert store(folder).latest() == Checkpoint(epoch=1, blobs=blobs(1))


def test_clearing_removes_checkpoints_and_leftovers_and_nothing_else(tmp_path: Path) -> None:
    store(tmp_path).save(1, blobs(1))
    with pytest.raises(Crash):
        store(tmp_path, storage=CrashingStorage(1)).save(2, blobs(2))
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".other.0123456789abcdef.new").write_text("mine too")
    assert len(os.listdir(tmp_path)) == 4
    store(tmp_path).clear()
    assert sorted(os.listdir(tmp_path)) == [".other.0123456789abcdef.new", "notes.txt"]
    store(tmp_path / "missing").clear()


def test_options_that_break_their_rule_are_refused() -> None:
    with pytest.raises(ConfigError, match="keep is 0; at least 1"):
        CheckpointStore("x", fingerprint={}, keep=0)
    with pytest.raises(ArtifactError, match="is not on the local disk"):
        CheckpointStore("hdfs://nn/run", fingerprint={})


def test_importing_checkpoints_loads_neither_torch_nor_pyspark() -> None:
    code = "import sys, sparkweave.artifacts.checkpoint; print({'torch', 'pyspark'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
