"""Executors, judged."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.deploy.doctor.cluster import VERSIONS, cluster, worker

from sparkweave.deploy.doctor.facts import Folder
from sparkweave.deploy.doctor.finding import Finding
from sparkweave.deploy.doctor.machines import machine_findings
from sparkweave.deploy.memory_plan import Containers
from sparkweave.deploy.memory_size import GIB, MIB


def finding_about(**changes: Any) -> Finding:
    """The one finding about a cluster whose second worker is changed so."""
    (finding,) = machine_findings(cluster(worker(0), worker(1, **changes)))
    return finding


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert list(machine_findings(cluster())) == []


@pytest.mark.parametrize(
    ("changes", "check", "severity", "words"),
    [
        ({"python": "3.12.1"}, "Python", "error", "Python is 3.12.1 (/python), and 3.11.7 on the driver"),
        ({"versions": {**VERSIONS, "torch": "2.9.0"}}, "torch", "error", "torch is 2.9.0 in /python, and 2.15.0"),
        ({"versions": {**VERSIONS, "sparkweave": "0.0.9"}}, "sparkweave", "error", "0.0.9"),
        ({"versions": {**VERSIONS, "pyarrow": "25.0.0"}}, "pyarrow", "warning", "pyarrow is 25.0.0"),
        ({"versions": {**VERSIONS, "torch": None}}, "torch", "error", "torch is not installed in /python"),
        ({"failed_imports": {"torch": "OSError: libc10.so"}}, "imports", "error", "torch can't be imported in /python: OSError: libc10.so"),
        ({"addresses_allowed": 6 * GIB}, "memory", "error", "6.00 GiB of addresses"),
        ({"local_folders": [Folder(path="/full/blockmgr-1", error="No space left on device")]}, "disk", "error", "/full"),
        ({"local_folders": [Folder(path="/small/blockmgr-1", free=9 * MIB)]}, "disk", "warning", "/small has 9 MiB left"),
        ({"gpus": ["0"]}, "shared memory", "warning", "/dev/shm has 64 MiB left"),
        ({"gpus": ["0"], "shared_memory": None}, "shared memory", "warning", "can't be written to"),
        ({"reads": {"hdfs://h/a.zip": "Permission denied"}}, "input", "error", "hdfs://h/a.zip can't be read: Permission denied"),
        ({"task_cpus": 5}, "threads", "warning", "1 workers compute with 5 threads, and 4 cores"),
        ({"memory_available": 400 * MIB, "memory_allowed": 512 * MIB}, "memory", "error", "400 MiB were left under the limit of 512 MiB"),
        ({"has_bfloat16": False}, "bfloat16", "note", "12 times slower"),
    ],
)  # fmt: skip
def test_a_finding(changes: dict[str, Any], check: str, severity: str, words: str) -> None:
    finding = finding_about(**changes)
    assert (finding.check, finding.severity, finding.host) == (check, severity, "b")
    assert words in finding.what
    assert finding.fix


def test_patches_of_python_and_builds_of_torch_may_differ() -> None:
    other = worker(1, python="3.11.9", versions={**VERSIONS, "torch": "2.15.0+cpu"})
    assert list(machine_findings(cluster(worker(0), other))) == []


def test_different_processors_are_worth_knowing() -> None:
    finding = finding_about(processor="another CPU")
    assert (finding.check, finding.severity) == ("processor", "note")
    assert "a CPU, another CPU" in finding.what


def test_workers_of_one_host_are_reported_once() -> None:
    alike = [worker(rank, host="b", python="3.12.1") for rank in range(3)]
    assert len(list(machine_findings(cluster(*alike)))) == 1


def test_workers_of_one_host_share_its_cores_and_memory() -> None:
    found = machine_findings(cluster(*(worker(rank, host="b", memory_available=2 * GIB) for rank in range(5))))
    assert [(finding.check, finding.severity) for finding in found] == [("threads", "warning"), ("memory", "error")]


def test_an_overhead_that_the_imports_alone_exceed() -> None:
    two_in_one = [worker(rank, host="b", executor="/one") for rank in range(2)]
    (finding,) = machine_findings(cluster(*two_in_one, containers=Containers(executor_overhead=900 * MIB)))
    assert (finding.check, finding.severity) == ("memory", "error")
    assert "900 MiB" in finding.what
    assert "1000 MiB" in finding.what.replace(",", "")
    assert "--executor-memory-overhead 2000m" in finding.fix
    each = [worker(rank, host="b") for rank in range(2)]
    assert list(machine_findings(cluster(*each, containers=Containers(executor_overhead=900 * MIB)))) == []
    assert list(machine_findings(cluster(*two_in_one, containers=Containers(limited=False)))) == []
