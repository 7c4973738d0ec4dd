from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.unit.cli.conftest import Outcome

Run = Callable[..., Outcome]


def test_evaluates_a_saved_model(run: Run, archive: str) -> None:
    outcome = run("evaluate", "model.zip", archive, "--max-bad-fraction", "0.2", "--master", "local[2]")
    assert outcome.code == 0, outcome.err
    assert outcome.calls["load"] == {"url": "model.zip", "allow_code": False}
    assert outcome.calls["evaluate"] == {
        "frame": ("frame", (archive,), {"image_size": (28, 30), "channels": 1}),
        "max_bad_fraction": 0.2,
    }
    assert "Accuracy" in outcome.out
    assert "Left out 2 images that can't be used:\n  b.zip!/1_1.png: broken\n  b.zip!/1_2.png: broken\n" in outcome.err


def test_json(run: Run, archive: str) -> None:
    document = json.loads(run("evaluate", "model", archive, "--json").out)
    assert document["evaluation"]["confusion"] == [[1, 0], [1, 1]]
    binary = document["evaluation"]["binary"]
    assert (binary["roc_auc"], binary["average_precision"]) == (1, 1)
    assert [row["threshold"] for row in binary["thresholds"]][:2] == [0.01, 0.02]
    assert [row["tp"] for row in binary["thresholds"] if row["is_best"]] == [2]
    assert binary["curves"]["tp"] == [1, 2, 2]
    assert document["evaluation"]["balanced_accuracy"] == 0.75


def test_two_classes_get_areas_and_a_few_thresholds(run: Run, archive: str) -> None:
    out = run("evaluate", "model.zip", archive).out
    assert "\nROC AUC:              1.0000\nAverage precision:    1.0000\n" in out
    table = out[out.index("\nThreshold") :].splitlines()[2:]
    assert [line.split()[:3] for line in table if line.startswith("*")] == [["*", "0.4", "2"]]
    assert [line.split()[0] for line in table if not line.startswith("*")] == ["0.1", "0.25", "0.5", "0.75", "0.9"]
    assert "\x1b" not in out


def test_missing_images(run: Run, tmp_path: Path) -> None:
    outcome = run("evaluate", "model", str(tmp_path / "none.zip"))
    assert outcome.code == 3
    assert "load" not in outcome.calls


def test_a_model_on_a_cluster_is_loaded_once_there_is_a_session(run: Run, archive: str) -> None:
    outcome = run("evaluate", "hdfs://nn/model", archive)
    assert outcome.code == 0, outcome.err
    assert list(outcome.calls)[:2] == ["session", "load"]


def test_a_local_model_is_loaded_before_spark_starts(run: Run, archive: str) -> None:
    assert list(run("evaluate", "model", archive).calls)[:2] == ["load", "session"]
