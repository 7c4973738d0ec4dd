from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Outcome
from tests.unit.export.models import FACTORIES, image_model, vector_model

from sparkweave.cli.export import export

Run = Callable[..., Outcome]


@pytest.fixture
def model(tmp_path: Path) -> str:
    url = str(tmp_path / "model.zip")
    vector_model().save(url)
    return url


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparkweave.export.onnx.to_onnx", lambda artifact, *, allow_code: b"\x08\x0a\x12\x0asparkweave")


def test_the_surface_of_the_command() -> None:
    names = {name for parameter in export.params for name in parameter.opts if name.startswith("-")}
    assert names == {
        "--allow-code", "--conf", "--config", "--debug", "--format", "--json", "--master", "--output", "--overwrite",
    }  # fmt: skip


def test_writes_a_graph_and_says_where(run: Run, model: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    outcome = run("export", model, "--format", "onnx", "--output", str(path))
    assert outcome.code == 0, outcome.err
    assert outcome.err == f"Wrote the graph, verified for batches of 1, 2, 8: {path}\n"
    assert outcome.out == ""
    assert "session" not in outcome.calls, "a path on this disk needs no Spark"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["model.onnx", "model.zip"]


def test_json(run: Run, quick: None, model: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    document = json.loads(run("export", model, "--output", str(path), "--json").out)
    assert document == {
        "model": model, "format": "onnx", "output": str(path), "bytes": path.stat().st_size, "verified_batches": [1, 2, 8],
    }  # fmt: skip


def test_a_graph_that_is_there_is_in_the_way(run: Run, quick: None, model: str, tmp_path: Path) -> None:
    arguments = ("export", model, "--output", str(tmp_path / "model.onnx"))
    assert run(*arguments).code == 0
    outcome = run(*arguments)
    assert outcome.code == 6
    assert "already exists; choose another path, or replace it (--overwrite)" in outcome.err
    assert run(*arguments, "--overwrite").code == 0


def test_a_network_that_cannot_be_exported_leaves_nothing(run: Run, tmp_path: Path) -> None:
    model = str(tmp_path / "model.zip")
    image_model(f"{FACTORIES}:BranchesOnValues").save(model)
    outcome = run("export", model, "--output", str(tmp_path / "model.onnx"), "--allow-code")
    assert outcome.code == 6
    assert "can't be exported to ONNX" in outcome.err
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.zip"]


def test_a_missing_extra_is_named_first(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    outcome = run("export", str(tmp_path / "none"), "--output", str(tmp_path / "model.onnx"))
    assert outcome.code == 2
    assert "pip install 'sparkweave[onnx]'" in outcome.err


def test_no_model(run: Run, tmp_path: Path) -> None:
    outcome = run("export", str(tmp_path / "none"), "--output", str(tmp_path / "model.onnx"))
    assert outcome.code == 6
    assert "no model is here" in outcome.err


def test_a_model_on_a_cluster_is_read_in_a_session(
    run: Run, quick: None, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sparkweave.artifacts.storage import LOCAL
    from sparkweave.spark import storage
    from sparkweave.testing.storage import WrappedStorage

    class Elsewhere(WrappedStorage):
        def resolve(self, url: str) -> str:
            return LOCAL.resolve(url.removeprefix("hdfs://nn"))

    monkeypatch.setattr(storage, "storage_for", lambda url: Elsewhere())
    outcome = run("export", f"hdfs://nn{model}", "--output", str(tmp_path / "m.onnx"), "--master", "local[2]")
    assert outcome.code == 0, outcome.err
    assert outcome.calls["session"] == {"master": "local[2]", "conf": {}, "debug": False}
