from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.unit.cli.conftest import Outcome
from tests.unit.report.evaluations import classified
from tests.unit.report.histories import OPTIONS, records

from sparkweave.artifacts.checkpoint import CheckpointStore
from sparkweave.artifacts.model import ModelArtifact

Run = Callable[..., Outcome]


@pytest.fixture
def folder(tmp_path: Path) -> str:
    store = CheckpointStore(str(tmp_path / "run"), fingerprint=OPTIONS)
    store.save(12, {"history.json": json.dumps(records()).encode()})
    return store.directory


def test_writes_a_page_and_says_where(run: Run, folder: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    outcome = run("report", folder, "--output", str(page))
    assert outcome.code == 0, outcome.err
    assert outcome.err == f"Wrote the report: {page}\n"
    assert "session" not in outcome.calls, "a path on this disk needs no Spark"
    content = page.read_text()
    assert folder in content
    assert "ended after 12 epochs" in content


def test_the_page_is_report_html_unless_said_otherwise(
    run: Run, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("report", folder).code == 0
    assert (tmp_path / "report.html").exists()


def test_json(run: Run, folder: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    document = json.loads(run("report", folder, "--output", str(page), "--json").out)
    assert document == {"run": folder, "output": str(page), "bytes": page.stat().st_size}


def test_a_models_evaluation_is_in_the_page(run: Run, tmp_path: Path) -> None:
    config = {
        "network": {"name": "lenet"},
        "input_shape": [1, 28, 28],
        "labels": ["0", "1"],
        "class_names": {"1": "owl"},
    }
    model = ModelArtifact(config=config, weights={"w": torch.zeros(2)}, evaluation=classified(2))
    model.save(str(tmp_path / "model.zip"))
    page = tmp_path / "page.html"
    outcome = run("report", str(tmp_path / "model.zip"), "--output", str(page))
    assert outcome.code == 0, outcome.err
    assert "Positive is “owl”" in page.read_text()


def test_a_page_that_is_there_is_in_the_way(run: Run, folder: str, tmp_path: Path) -> None:
    arguments = ("report", folder, "--output", str(tmp_path / "page.html"))
    assert run(*arguments).code == 0
    outcome = run(*arguments)
    assert outcome.code == 6
    assert "already exists; choose another path, or replace it (--overwrite)" in outcome.err
    assert run(*arguments, "--overwrite").code == 0


def test_no_run(run: Run, tmp_path: Path) -> None:
    outcome = run("report", str(tmp_path / "none"), "--output", str(tmp_path / "page.html"))
    assert outcome.code == 6
    assert "nothing is here; give a saved model" in outcome.err
    assert not (tmp_path / "page.html").exists()


def test_a_run_on_a_cluster_is_read_in_a_session(
    run: Run, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sparkweave.artifacts.storage import LOCAL
    from sparkweave.spark import storage
    from sparkweave.testing.storage import WrappedStorage

    class Elsewhere(WrappedStorage):
        def resolve(self, url: str) -> str:
            return LOCAL.resolve(url.removeprefix("hdfs://nn"))

    monkeypatch.setattr(storage, "storage_for", lambda url: Elsewhere())
    outcome = run("report", f"hdfs://nn{folder}", "--output", str(tmp_path / "p.html"), "--master", "local[2]")
    assert outcome.code == 0, outcome.err
    assert outcome.calls["session"] == {"master": "local[2]", "conf": {}, "debug": False}


def test_neither_torch_nor_spark_is_loaded_for_a_local_run(folder: str, tmp_path: Path) -> None:
    code = (
        "import sys; from sparkweave.cli.main import run\n"
        f"assert run(['report', {folder!r}, '--output', {str(tmp_path / 'page.html')!r}]) == 0\n"
        "print(*{'torch', 'pyspark'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
