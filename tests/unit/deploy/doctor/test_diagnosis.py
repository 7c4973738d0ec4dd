"""The findings in their order, and how they are shown."""

from __future__ import annotations

import json

from tests.unit.deploy.doctor.cluster import cluster, driver, worker

from sparkweave.deploy.doctor.diagnosis import as_document, diagnose, show_cluster, show_findings


def test_the_worst_comes_first() -> None:
    facts = cluster(
        worker(0),
        worker(1, python="3.12.1", has_bfloat16=False),
        driver=driver({"spark.executor.pyspark.memory": "2g"}),
    )
    assert [finding.severity for finding in diagnose(facts)] == ["error", "warning", "note"]


def test_the_table_has_a_line_an_executor() -> None:
    shown = show_cluster(
        cluster(worker(0), worker(2), worker(1, executor="/one"), worker(3, executor="/one"))
    ).splitlines()
    assert shown[1] == "yarn has slots: 2, executors: 3, hosts: 2"
    hosts = [line.split()[:2] for line in shown[4:]]
    assert hosts == [["a", "1"], ["a", "1"], ["b", "2"]]
    assert "2.15.0" in shown[4]
    assert "-0.1 ±0.1 ms" in shown[4]
    assert "eth0 10.0.0.2" in shown[4]


def test_without_workers_the_driver_alone_is_shown() -> None:
    shown = show_cluster(cluster(workers=()))
    assert "executors: 0" in shown
    assert len(shown.splitlines()) == 2


def test_a_finding_comes_with_its_remedy() -> None:
    (finding,) = diagnose(cluster(worker(0), worker(1, python="3.12.1")))
    assert show_findings([finding]) == f"error    Python (b): {finding.what}\n         -> {finding.fix}"


def test_the_document_is_json_and_keeps_settings_to_itself() -> None:
    facts = cluster(driver=driver({"spark.hadoop.fs.s3a.secret.key": "hidden"}))
    text = json.dumps(as_document(facts, diagnose(facts)))
    assert "hidden" not in text
    assert [found["rank"] for found in json.loads(text)["workers"]] == [0, 1]
