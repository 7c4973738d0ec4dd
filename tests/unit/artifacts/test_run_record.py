from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sparkweave.artifacts.checkpoint import CheckpointStore
from sparkweave.artifacts.model import ModelArtifact
from sparkweave.artifacts.run_record import read_run_record
from sparkweave.artifacts.sealed import write_sealed
from sparkweave.errors import ArtifactError

HISTORY = [{"event": "epoch", "epoch": 1}, {"event": "evaluation", "epoch": 1}]
RUN = {"batch_size": 50, "network": {"name": "lenet"}}


def save_model(path: Path, **config: Any) -> str:
    needed = {"network": {"name": "lenet"}, "input_shape": [1, 28, 28], "labels": ["0", "1"]}
    artifact = ModelArtifact(config={**needed, **config}, weights={"w": torch.zeros(2)}, history=HISTORY)
    artifact.save(str(path))
    return str(path)


def save_checkpoints(folder: Path) -> str:
    store = CheckpointStore(str(folder), fingerprint=RUN)
    for epoch in (1, 2):
        store.save(epoch, {"history.json": json.dumps(HISTORY[:epoch]).encode()})
    return str(folder)


@pytest.mark.parametrize("name", ["model", "model.zip"])
def test_a_model_tells_its_history_options_and_versions(tmp_path: Path, name: str) -> None:
    record = read_run_record(save_model(tmp_path / name, training={"seed": 3}))
    assert record.history == HISTORY
    assert record.options == {"network": {"name": "lenet"}, "seed": 3}
    assert set(record.versions) == {"python", "sparkweave", "torch"}
    assert record.epoch is None


def test_a_model_tells_its_evaluation_and_the_names_of_its_classes(tmp_path: Path) -> None:
    config = {"network": {"name": "lenet"}, "input_shape": [1, 28, 28], "labels": ["0"], "class_names": {"0": "cat"}}
    evaluation = {"kind": "classification", "confusion": [[3]]}
    ModelArtifact(config=config, weights={"w": torch.zeros(2)}, evaluation=evaluation).save(str(tmp_path / "model"))
    record = read_run_record(str(tmp_path / "model"))
    assert (record.evaluation, record.class_names) == (evaluation, {"0": "cat"})
    assert read_run_record(save_model(tmp_path / "older")).evaluation is None


def test_a_model_without_options_still_tells_the_rest(tmp_path: Path) -> None:
    assert read_run_record(save_model(tmp_path / "model")).options == {"network": {"name": "lenet"}}


def test_of_a_folder_of_checkpoints_the_newest_whole_one_tells(tmp_path: Path) -> None:
    folder = save_checkpoints(tmp_path / "run")
    record = read_run_record(folder)
    assert (record.epoch, record.history, record.options) == (2, HISTORY, RUN)
    (tmp_path / "run" / "epoch-000002.zip").write_bytes(b"cut")
    assert read_run_record(folder).epoch == 1


def test_one_checkpoint_tells_too(tmp_path: Path) -> None:
    save_checkpoints(tmp_path)
    assert read_run_record(str(tmp_path / "epoch-000001.zip")).history == HISTORY[:1]


def test_where_no_model_is_yet_its_checkpoints_are_named(tmp_path: Path) -> None:
    save_checkpoints(tmp_path / "digits.checkpoints")
    for name in ("digits", "digits.zip"):
        with pytest.raises(ArtifactError, match=r"nothing is here yet, .*: give .*/digits\.checkpoints"):
            read_run_record(str(tmp_path / name))


def test_nothing_there_and_something_else_there_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"none: nothing is here; give a saved model \(a folder or a \.zip\), or"):
        read_run_record(str(tmp_path / "none"))
    with pytest.raises(ArtifactError, match="is no run; give a saved model"):
        read_run_record(str(tmp_path))
    (tmp_path / "data.zip").write_bytes(b"PK")
    with pytest.raises(ArtifactError, match=r"data\.zip: it is cut"):
        read_run_record(str(tmp_path / "data.zip"))


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[" * 100_000])
def test_a_history_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    CheckpointStore(str(tmp_path), fingerprint=RUN).save(1, {"history.json": content})
    with pytest.raises(ArtifactError, match=r"history\.json (is missing, or not JSON|holds a dict, not a list); "):
        read_run_record(str(tmp_path))


def test_an_artifact_without_a_history_is_refused(tmp_path: Path) -> None:
    write_sealed(str(tmp_path / "model"), {"config.json": b"{}"}, kind="model")
    with pytest.raises(ArtifactError, match=r"model: history\.json is missing"):
        read_run_record(str(tmp_path / "model"))
