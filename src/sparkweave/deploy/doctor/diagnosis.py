"""All findings about a cluster, and the table that shows what was found where."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from sparkweave.deploy.doctor.facts import ClusterFacts, WorkerFacts
from sparkweave.deploy.doctor.finding import Finding
from sparkweave.deploy.doctor.machines import machine_findings
from sparkweave.deploy.doctor.network import network_findings
from sparkweave.deploy.doctor.probe import SHARED_MEMORY
from sparkweave.deploy.doctor.settings import setting_findings
from sparkweave.deploy.memory_size import show_size

_ORDER = {"error": 0, "warning": 1, "note": 2}
_COLUMNS = (
    "host", "slots", "Python", "torch", "pyarrow", "sparkweave", "imports", "memory", "disk", SHARED_MEMORY, "clock", "interface"
)  # fmt: skip


def diagnose(cluster: ClusterFacts) -> list[Finding]:
    """What is wrong, the worst first."""
    found = [*setting_findings(cluster.driver), *machine_findings(cluster), *network_findings(cluster)]
    return in_order(found)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first."""
    return sorted(findings, key=lambda finding: _ORDER[finding.severity])


def show_cluster(cluster: ClusterFacts) -> str:
    """What was found, as a table with a line for each executor."""
    driver = cluster.driver
    versions = ", ".join(f"{name} {version}" for name, version in driver.versions.items() if version)
    head = [
        f"Driver on {driver.host}: Spark {driver.spark}, Java {driver.java}, Python {driver.python}, {versions}",
        f"{driver.master} has slots: {driver.slots}, executors: {len(cluster.executors())}, hosts: {len(cluster.hosts)}",
    ]
    if not cluster.workers:
        return "\n".join(head)
    return "\n".join([*head, "", *_aligned([_COLUMNS, *(_line(workers) for workers in cluster.executors())])])


def show_findings(findings: Sequence[Finding]) -> str:
    """Each finding with its fix."""
    lines = []
    for finding in findings:
        lines += [f"{finding.severity:<8} {finding.check} ({finding.host}): {finding.what}", f"{'':8} -> {finding.fix}"]
    return "\n".join(lines)


def as_document(cluster: ClusterFacts, findings: Sequence[Finding]) -> dict[str, Any]:
    """For ``--json``: all facts but Spark's settings, among which are secrets."""
    driver = dataclasses.asdict(cluster.driver)
    del driver["settings"]
    return {
        "driver": driver,
        "workers": [dataclasses.asdict(worker) for worker in cluster.workers],
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }


def _line(workers: Sequence[WorkerFacts]) -> tuple[str, ...]:
    """An executor in the table."""
    one = workers[0]
    folder, contact = next(iter(one.local_folders), None), one.driver
    clock = (
        "?"
        if contact.offset is None or contact.seconds is None
        else f"{-contact.offset * 1e3:+.1f} ±{contact.seconds * 500:.1f} ms"
    )
    return (
        one.host,
        str(len(workers)),
        one.python,
        *(one.versions.get(name) or "-" for name in ("torch", "pyarrow", "sparkweave")),
        show_size(max(worker.memory for worker in workers)),
        show_size(one.memory_available),
        _free(folder.free if folder else None),
        _free(one.shared_memory.free if one.shared_memory else None),
        clock,
        f"{one.interface} {one.address}" if one.interface else "-",
    )


def _free(size: int | None) -> str:
    return "-" if size is None else show_size(size)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
