"""A saved model is complete, reproducible, readable by people, and checked when it is loaded."""

from __future__ import annotations

import json
import math
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.artifacts.sealed import read_sealed, write_sealed
from sparkweave.errors import ArtifactError
from sparkweave.testing.storage import FullStorage

FORMS = ("model", "model.zip")
CONFIG: dict[str, Any] = {
    "network": {"name": "lenet"},
    "input_shape": [1, 28, 28],
    "labels": ["0", "1"],
    "class_names": {"0": "t-shirt"},
    "preprocessing": {"scale": 255},
}
HISTORY = [
    {"event": "epoch", "epoch": 1, "loss": 0.5},
    {"event": "evaluation", "epoch": 1, "accuracy": 0.9123, "loss": 0.25},
]


def artifact(**changes: Any) -> ModelArtifact:
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    fields = {
        "config": CONFIG,
        "weights": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": HISTORY,
    }
    return ModelArtifact(**{**fields, **changes})


@pytest.mark.parametrize("form", FORMS)
def test_a_model_is_loaded_as_it_was_saved(tmp_path: Path, form: str) -> None:
    saved = artifact()
    saved.save(str(tmp_path / form))
    loaded = ModelArtifact.load(str(tmp_path / form))
    assert {name: loaded.config[name] for name in CONFIG} == CONFIG
    assert loaded.config["versions"]["torch"] == torch.__version__
    assert loaded.history == HISTORY
    assert all(torch.equal(loaded.weights[name], tensor) for name, tensor in saved.weights.items())
    assert loaded.optimizer is not None
    assert loaded.optimizer["param_groups"] == saved.optimizer["param_groups"]  # type: ignore[index]
    assert torch.equal(loaded.optimizer["state"][0]["exp_avg"], saved.optimizer["state"][0]["exp_avg"])  # type: ignore[index]


@pytest.mark.parametrize("form", FORMS)
def test_a_loaded_model_saved_again_is_the_same_bytes(tmp_path: Path, form: str) -> None:
    artifact().save(str(tmp_path / "a" / form))
    ModelArtifact.load(str(tmp_path / "a" / form)).save(str(tmp_path / "b" / form))
    first, second = tmp_path / "a" / form, tmp_path / "b" / form
    for name in os.listdir(first) if first.is_dir() else [""]:
        assert (first / name).read_bytes() == (second / name).read_bytes()


@pytest.mark.parametrize("form", FORMS)
def test_an_evaluation_is_kept_where_there_is_one(tmp_path: Path, form: str) -> None:
    evaluation = {"kind": "classification", "labels": ["0", "1"], "confusion": [[3, 1], [0, 2]], "loss": 0.25}
    artifact(evaluation={**evaluation, "f1": math.nan}).save(str(tmp_path / form))
    assert ModelArtifact.load(str(tmp_path / form)).evaluation == {**evaluation, "f1": None}
    assert "evaluation.json" in read_sealed(str(tmp_path / form), kind="model")["README.md"].decode()
    artifact().save(str(tmp_path / form), overwrite=True)
    assert ModelArtifact.load(str(tmp_path / form)).evaluation is None
    assert "evaluation.json" not in read_sealed(str(tmp_path / form), kind="model")["README.md"].decode()


def test_the_folder_holds_what_it_says(tmp_path: Path) -> None:
    artifact().save(str(tmp_path / "model"))
    assert sorted(os.listdir(tmp_path / "model")) == [
        "README.md",
        "config.json",
        "history.json",
        "manifest.json",
        "model.safetensors",
        "optimizer.safetensors",
    ]


def test_the_optimizer_is_left_out_on_request(tmp_path: Path) -> None:
    artifact().save(str(tmp_path / "model.zip"), save_optimizer=False)
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        assert "optimizer.safetensors" not in archive.namelist()
        assert b"optimizer" not in archive.read("README.md")
    assert ModelArtifact.load(str(tmp_path / "model.zip")).optimizer is None


def test_the_card_has_the_figures_and_how_to_load(tmp_path: Path) -> None:
    artifact().save(str(tmp_path / "model"))
    card = (tmp_path / "model" / "README.md").read_text()
    for text in (
        '| Network | `{"name": "lenet"}` |',
        "| Classes | 2: `0: t-shirt`, `1` |",
        "| Weights | 8 |",
        "| Accuracy on the test examples | 0.9123 |",
        "TrainedModel.load(",
        "the optimizer's state",
    ):
        assert text in card


def test_a_label_can_t_add_to_the_card(tmp_path: Path) -> None:
    labels = ["`<script>|\n[x](http://h)\\", "\ud800", " "]
    artifact(config={**CONFIG, "labels": labels, "class_names": {}}).save(str(tmp_path / "model"))
    assert "| Classes | 3: `?<script>??[x](http://h)?`, `?`, ` ` |" in (tmp_path / "model" / "README.md").read_text()
    assert ModelArtifact.load(str(tmp_path / "model")).config["labels"] == labels


def test_many_labels_are_shortened_in_the_card(tmp_path: Path) -> None:
    artifact(config={**CONFIG, "labels": [f"{n}" for n in range(30)]}).save(str(tmp_path / "model"))
    assert "`19` and 10 more |" in (tmp_path / "model" / "README.md").read_text()


def test_a_run_that_diverged_is_saved_with_nulls(tmp_path: Path) -> None:
    artifact(history=[{"event": "epoch", "epoch": 1, "loss": math.nan, "all": [math.inf, 1.0]}]).save(
        str(tmp_path / "model")
    )
    assert json.loads((tmp_path / "model" / "history.json").read_text()) == [
        {"event": "epoch", "epoch": 1, "loss": None, "all": [None, 1.0]}
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("network", None),
        ("input_shape", [28, 28]),
        ("input_shape", [1, 28, 0]),
        ("input_shape", [1, 28, True]),
        ("labels", []),
        ("labels", ["a", "a"]),
        ("labels", [1, 2]),
        ("labels", "ab"),
        ("class_names", {"0": 1}),
        ("class_names", ["a"]),
        ("versions", "1"),
    ],
)
def test_a_config_that_breaks_its_rule_is_neither_saved_nor_loaded(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(ArtifactError, match=f"{name} in config.json is .*; the rule: "):
        artifact(config={**CONFIG, name: value}).save(str(tmp_path / "model"))
    assert os.listdir(tmp_path) == []
    artifact().save(str(tmp_path / "good"))
    blobs = read_sealed(str(tmp_path / "good"), kind="model")
    blobs["config.json"] = json.dumps({**CONFIG, name: value}).encode()
    write_sealed(str(tmp_path / "bad"), blobs, kind="model")
    with pytest.raises(ArtifactError, match=f"bad: {name} in config.json"):
        ModelArtifact.load(str(tmp_path / "bad"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "it has no config.json, so it is no model"),
        ("config.json", b"{", "config.json is not JSON"),
        ("config.json", b"[" * 100_000, "config.json is not JSON"),
        ("history.json", b"{}", "history.json holds a dict where a list belongs"),
        ("evaluation.json", b"[]", "evaluation.json holds a list where a dict belongs"),
        ("model.safetensors", b"\x80\x04", "no tensors in the safetensors form"),
        ("optimizer.safetensors", b"", "no tensors in the safetensors form"),
    ],
)
def test_files_that_are_sealed_but_wrong_are_refused(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    artifact().save(str(tmp_path / "good"))
    blobs = read_sealed(str(tmp_path / "good"), kind="model")
    if content is None:
        del blobs[name]
    else:
        blobs[name] = content
    write_sealed(str(tmp_path / "bad"), blobs, kind="model")
    with pytest.raises(ArtifactError, match=message):
        ModelArtifact.load(str(tmp_path / "bad"))


def test_values_that_json_has_not_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"config.json can't be written as JSON.*give plain, finite values"):
        artifact(config={**CONFIG, "extra": object()}).save(str(tmp_path / "model"))


@pytest.mark.parametrize("form", FORMS)
def test_a_full_disk_keeps_the_old_model(tmp_path: Path, form: str) -> None:
    artifact().save(str(tmp_path / form))
    with pytest.raises(ArtifactError, match="No space left on device"):
        artifact(history=[]).save(str(tmp_path / form), overwrite=True, storage=FullStorage(1000))
    assert ModelArtifact.load(str(tmp_path / form)).history == HISTORY
