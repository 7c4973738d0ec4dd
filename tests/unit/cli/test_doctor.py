"""`sparkweave doctor`: what is printed, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Outcome
from tests.unit.deploy.doctor.cluster import cluster

from sparkweave.cli import main
from sparkweave.cli.submit import COMMANDS
from sparkweave.cli.submitted import fit_for_cluster, parse
from sparkweave.deploy.doctor.finding import Finding, Severity
from sparkweave.distributed.network import Network
from sparkweave.errors import ConfigError

Run = Callable[..., Outcome]


@pytest.fixture
def findings(calls: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What the examination finds; to be filled by a test."""
    from sparkweave.spark import doctor

    found: list[Finding] = []

    def examine_cluster(spark: Any, **options: Any) -> doctor.Examination:
        calls["examine"] = {"spark": spark, **options}
        return doctor.Examination(cluster=cluster(), findings=found)

    monkeypatch.setattr(doctor, "examine_cluster", examine_cluster)
    return found


def finding(severity: Severity) -> Finding:
    return Finding(check="disk", host="a\x1b[2J", severity=severity, what="it is full", fix="empty it")


def test_a_cluster_without_a_fault(run: Run, findings: list[Finding]) -> None:
    outcome = run(
        "doctor",
        "--master",
        "yarn",
        "--workers",
        "4",
        "--output",
        "hdfs:///m.zip",
        "--input",
        "a.zip",
        "--input",
        "b.zip",
        "--subnet",
        "10.27.0.0/16",
        "--transport",
        "spark",
    )
    assert outcome.code == 0, outcome.err
    assert outcome.calls["session"]["master"] == "yarn"
    assert outcome.calls["examine"] == {
        "spark": "session",
        "workers": 4,
        "output": "hdfs:///m.zip",
        "inputs": ["a.zip", "b.zip"],
        "network": Network(subnet="10.27.0.0/16", transport="spark"),
    }
    assert "executors: 2, hosts: 2" in outcome.out
    assert "Nothing was found that would make training fail." in outcome.err


def test_warnings_are_allowed(run: Run, findings: list[Finding]) -> None:
    findings += [finding("warning"), finding("note")]
    outcome = run("doctor")
    assert outcome.code == 0
    assert "warning  disk (a\N{REPLACEMENT CHARACTER}[2J): it is full\n         -> empty it\n" in outcome.out


def test_errors_end_in_an_exit_code_of_their_own(run: Run, findings: list[Finding]) -> None:
    findings += [finding("error"), finding("warning")]
    outcome = run("doctor")
    assert outcome.code == 4
    assert "Error: 1 of 2 findings would make a training fail" in outcome.err


def test_json(run: Run, findings: list[Finding]) -> None:
    findings.append(finding("error"))
    outcome = run("doctor", "--json")
    assert outcome.code == 4
    document = json.loads(outcome.out)
    assert [found["severity"] for found in document["findings"]] == ["error"]
    assert [worker["host"] for worker in document["workers"]] == ["a", "b"]


def test_it_can_be_submitted(archive: str) -> None:
    arguments = ["doctor", "--workers", "2", "--input", archive, "--output", "hdfs:///m.zip"]
    context, command = parse(main.cli, arguments, COMMANDS)
    fitted = fit_for_cluster(context, command, driver_in_cluster=True, upload=lambda path: f"hdfs:///{Path(path).name}")
    assert fitted.arguments == (*arguments[:4], "hdfs:///train.zip", *arguments[5:])


def test_what_the_cluster_can_not_see_is_refused_before_it_is_submitted(archive: str) -> None:
    context, command = parse(main.cli, ["doctor", "--input", archive], COMMANDS)
    with pytest.raises(ConfigError, match="--upload"):
        fit_for_cluster(context, command, driver_in_cluster=False, upload=None)
    context, command = parse(main.cli, ["doctor", "--output", "model.zip"], COMMANDS)
    with pytest.raises(ConfigError, match=r"--output is model\.zip"):
        fit_for_cluster(context, command, driver_in_cluster=True, upload=None)
