"""Spark's settings, judged."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.deploy.doctor.cluster import driver

from sparkweave.deploy.doctor.settings import refused_settings, setting_findings
from sparkweave.distributed.network import Network

IDLE = "spark.python.worker.killOnIdleTimeout"
IDLE_SECONDS = "spark.python.worker.idleTimeoutSeconds"


def test_the_defaults_of_a_session_are_in_order() -> None:
    assert list(setting_findings(driver())) == []


@pytest.mark.parametrize(
    ("settings", "check", "severity", "fix"),
    [
        ({"spark.dynamicAllocation.enabled": "true"}, "dynamic allocation", "error", "--num-executors"),
        ({IDLE: "true", IDLE_SECONDS: "60"}, "idle workers", "error", f"--conf {IDLE}=false"),
        ({"spark.executor.pyspark.memory": "2g"}, "memory", "warning", "--native-memory"),
        ({"spark.scheduler.barrier.maxConcurrentTasksCheck.interval": "15s"}, "barrier check", "note", "=1s"),
        ({"spark.executor.cores": "5", "spark.task.cpus": "2"}, "cores", "note", "divide"),
        ({"spark.executorEnv.OMP_NUM_THREADS": "8"}, "threads", "warning", "unset"),
        ({"spark.authenticate": "true"}, "security", "error", "--transport spark"),
        ({"spark.network.crypto.enabled": "true"}, "security", "error", "--allow-plaintext"),
        ({"spark.ssl.enabled": "true"}, "security", "error", "--transport spark"),
        ({"spark.ssl.rpc.enabled": "true"}, "security", "error", "--transport spark"),
        ({"spark.io.encryption.enabled": "true"}, "security", "warning", "encrypted file system"),
    ],
)
def test_a_setting_and_its_remedy(settings: dict[str, str], check: str, severity: str, fix: str) -> None:
    (finding,) = setting_findings(driver(settings))
    assert (finding.check, finding.severity, finding.host) == (check, severity, "session")
    assert fix in finding.fix
    assert any(name in finding.what for name in settings)


def test_a_time_limit_that_ends_no_worker_is_none() -> None:
    assert list(refused_settings({IDLE: "true", IDLE_SECONDS: "0"})) == []
    assert list(refused_settings({IDLE: "false", IDLE_SECONDS: "60"})) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"master": "local[2]"},
        {"network": Network(allow_plaintext=True)},
        {"network": Network(transport="spark")},
    ],
    ids=str,
)
def test_a_session_that_protects_its_connections_is_no_fault_where_no_others_are_made(changes: dict[str, Any]) -> None:
    assert list(setting_findings(driver({"spark.authenticate": "true"}, **changes))) == []


@pytest.mark.parametrize(("spark", "java", "check"), [("4.0.1", "17.0.1", "Spark"), ("4.1.0", "11.0.2", "Java"), ("4.1.0", "1.8.0_402", "Java")])  # fmt: skip
def test_old_versions(spark: str, java: str, check: str) -> None:
    (finding,) = setting_findings(driver(spark=spark, java=java))
    assert (finding.check, finding.severity) == (check, "error")
