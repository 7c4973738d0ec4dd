"""What Spark's history keeps of the commands: every job has a name, and the log stays small."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from sparkweave.testing.archives import write_image_archive

COMMANDS = """
import json, sys
from sparkweave.cli.main import run
for command in json.loads(sys.argv[1]):
    assert run(command) == 0, command
"""
LARGEST_EVENT, LARGEST_LOG = 256 << 10, 2 << 20


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Of all commands that have a session, one after the other."""
    folder = tmp_path_factory.mktemp("history")
    log, archive, model = folder / "log", str(folder / "train.zip"), str(folder / "mo[d]{e}l*")
    log.mkdir()
    write_image_archive(archive, labels=("0", "1"), images_per_label=100)
    settings = {"enabled": "true", "dir": log.as_uri(), "compress": "false"}
    session = ["--master", "local[2]", *(f"--conf=spark.eventLog.{name}={value}" for name, value in settings.items())]
    commands = [
        ["train", archive, "--test", archive, "--output", model, "--epochs", "2", "--staging", "export", *session],
        ["evaluate", model, archive, *session],
        ["predict", model, archive, "--output", str(folder / "predictions"), *session],
        ["doctor", "--output", str(folder / "new"), "--input", archive, *session],
    ]
    subprocess.run([sys.executable, "-c", COMMANDS, json.dumps(commands)], check=True, capture_output=True, text=True)
    files = sorted(log.rglob("events_*"))
    assert len(files) == len(commands)
    assert sum(file.stat().st_size for file in files) < LARGEST_LOG * len(commands)
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


@pytest.mark.timeout(600)
def test_every_job_has_a_name_and_a_group(events: list[dict[str, Any]]) -> None:
    jobs = [event["Properties"] for event in events if event["Event"] == "SparkListenerJobStart"]
    assert {job.get("spark.jobGroup.id") for job in jobs} == {"sparkweave"}
    assert {job.get("spark.job.description", "").removeprefix("sparkweave: ") for job in jobs} == {
        "exporting the decoded images",
        "looking at the exported images",
        "reading, decoding and dealing out the images",
        "reading and decoding the test images",
        "epoch 1 of 2",
        "epoch 2 of 2",
        "evaluating",
        "predicting",
        "looking at every executor",
    }


def test_plans_name_the_tasks(events: list[dict[str, Any]]) -> None:
    plans = " ".join(event["physicalPlanDescription"] for event in events if "physicalPlanDescription" in event)
    for name in (
        "decode_splits",
        "deal_out",
        "run_worker",
        "decode_splits_then_evaluate_examples",
        "decode_splits_then_predict_classes",
    ):
        assert f"{name}(" in plans
    assert "partial(" not in plans


def test_no_event_is_large(events: list[dict[str, Any]]) -> None:
    """Splits, weights and states travel as broadcasts and closures, none of which is logged."""
    assert max(len(json.dumps(event)) for event in events) < LARGEST_EVENT
