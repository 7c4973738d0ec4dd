from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Outcome
from tests.unit.serving.serving import make_artifact

Run = Callable[..., Outcome]


@pytest.fixture
def model(tmp_path: Path) -> str:
    url = str(tmp_path / "model.zip")
    make_artifact().save(url)
    return url


def test_versions_count_up(run: Run, model: str, tmp_path: Path) -> None:
    registry = str(tmp_path / "models")
    outcome = run("publish", model, registry)
    assert (outcome.code, outcome.err) == (0, f"Published version 000001: {registry}/000001.zip\n")
    document = json.loads(run("publish", model, registry, "--json").out)
    assert (document["version"], document["file"], document["registry"]) == ("000002", "000002.zip", registry)
    assert "session" not in outcome.calls, "no Spark is started"


def test_an_old_version_is_published_anew(run: Run, model: str, tmp_path: Path) -> None:
    registry = tmp_path / "models"
    run("publish", model, str(registry))
    assert run("publish", str(registry / "000001.zip"), str(registry)).code == 0
    assert (registry / "000001.zip").read_bytes() == (registry / "000002.zip").read_bytes()


def test_a_damaged_model_is_not_published(run: Run, model: str, tmp_path: Path) -> None:
    Path(model).write_bytes(Path(model).read_bytes()[:-200])
    outcome = run("publish", model, str(tmp_path / "models"))
    assert outcome.code == 6
    assert not (tmp_path / "models").exists()


def test_a_model_that_can_t_predict_is_not_published(run: Run, tmp_path: Path) -> None:
    url = str(tmp_path / "model.zip")
    make_artifact(preprocessing=None).save(url)
    outcome = run("publish", url, str(tmp_path / "models"))
    assert outcome.code == 6
    assert "a mean and a deviation a channel" in outcome.err


def test_a_file_is_no_registry(run: Run, model: str) -> None:
    outcome = run("publish", model, model)
    assert outcome.code == 6
    assert "check the path" in outcome.err
