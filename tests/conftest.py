"""The order of all tests, and which of them share a process where there are several (`make test`). Tests in `tests/unit` run without Spark."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

# Before torch is imported anywhere: two busy thread pools on a small machine cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test asserts a time: a loaded machine is no failure.
settings.register_profile("sparkweave", deadline=None)
settings.load_profile("sparkweave")

UNIT_TESTS = Path(__file__).parent / "unit"
TURNS = ("cluster_spark", "hadoop", "yarn_spark", "standalone")
MARKERS = {"cluster_spark": "cluster", "hadoop": "hadoop", "kafka": "kafka", "standalone": "standalone"}
CLUSTERS = {"hadoop", "packed_environment", "standalone_cluster"}
CLUSTER_MODULES = {
    "test_cluster_hadoop.py",
    "test_cluster_standalone.py",
    "test_doctor_yarn.py",
    "test_faults_standalone.py",
    "test_faults_yarn.py",
    "test_hadoop_storage.py",
    "test_hdfs.py",
    "test_memory.py",
    "test_pack.py",
    "test_serving.py",
    "test_submit.py",
}
"""Whose tests need one of `CLUSTERS`: they run in one process, so that each is started once. Other modules run whole in any."""


class Scheduler(LoadScopeScheduling):
    """Hands out modules; those with clusters as one."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "clusters" if _has_clusters(Path(path)) else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduler:
    """See `Scheduler`."""
    return Scheduler(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need another session, or a cluster, come together: each is started and stopped once, not again and again."""
    for item in items:
        fixtures = _fixtures(item)
        if fixtures & CLUSTERS and not _has_clusters(item.path):
            raise pytest.UsageError(f"{item.nodeid} needs a cluster: name {item.path.name} in CLUSTER_MODULES")
        used = set(MARKERS) & fixtures
        for fixture in used:
            item.add_marker(MARKERS[fixture])
        if used - {"cluster_spark"} and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(900))  # the first test that uses a cluster starts it
        if "packed_environment" in fixtures:  # whichever test comes first makes it
            item.add_marker(pytest.mark.timeout(1200))
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[int, float]:
    """Unit tests; the clusters in their order, which take longest, first of all with the local session; the sessions alone."""
    if UNIT_TESTS in item.path.parents:  # some play with the running session, and there must be none
        return 0, 0
    used = _fixtures(item)
    last = max((TURNS.index(name) + 1 for name in used if name in TURNS), default=0)
    if _has_clusters(item.path):
        return 1, 0 if "spark" in used else last
    return 2, last


def _has_clusters(path: Path) -> bool:
    return path.name in CLUSTER_MODULES and path.parent.name == "integration"


def _fixtures(item: pytest.Item) -> frozenset[str]:
    return frozenset(getattr(item, "fixturenames", ()))
