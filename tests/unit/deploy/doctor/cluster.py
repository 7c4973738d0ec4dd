"""A cluster without a fault, to be changed in one place."""

from __future__ import annotations

import dataclasses
from typing import Any

from sparkweave.deploy.doctor.facts import ClusterFacts, Contact, DriverFacts, Folder, WorkerFacts
from sparkweave.deploy.memory_size import GIB, MIB

VERSIONS = {"sparkweave": "0.1.0", "torch": "2.15.0", "pyarrow": "26.0.0", "numpy": "2.4.0"}
DRIVER = DriverFacts(
    host="10.0.0.1",
    master="yarn",
    python="3.11.7",
    versions=VERSIONS,
    spark="4.3.0",
    java="17.0.19",
    settings={"spark.scheduler.barrier.maxConcurrentTasksCheck.interval": "1s"},
    slots=2,
)


def driver(settings: dict[str, str] | None = None, **changes: Any) -> DriverFacts:
    return dataclasses.replace(DRIVER, settings={**DRIVER.settings, **(settings or {})}, **changes)


def worker(rank: int, **changes: Any) -> WorkerFacts:
    """On host a or b, in turn."""
    facts = WorkerFacts(
        rank=rank,
        host="ab"[rank % 2],
        executor=f"/local/blockmgr-{rank}",
        python="3.11.7",
        executable="/python",
        versions=VERSIONS,
        failed_imports={},
        memory=500 * MIB,
        addresses_used=4 * GIB,
        addresses_allowed=None,
        memory_allowed=None,
        memory_available=8 * GIB,
        cores=4,
        task_cpus=1,
        openmp_threads="1",
        gpus=(),
        processor="a CPU",
        has_bfloat16=True,
        local_folders=(Folder(path=f"/local/blockmgr-{rank}", free=50 * GIB),),
        shared_memory=Folder(path="/dev/shm", free=64 * MIB),
        own_addresses=(f"10.0.0.{rank + 2}",),
        interfaces={"eth0": f"10.0.0.{rank + 2}"},
        interface="eth0",
        address=f"10.0.0.{rank + 2}",
        port=40000 + rank,
        cut_off=None,
        driver=Contact(seconds=0.0002, offset=0.0001),
        peers=(Contact(rank=1 - rank, seconds=0.0002, offset=0.0),),
        reads={},
    )
    return dataclasses.replace(facts, **changes)


def cluster(*workers: WorkerFacts, **changes: Any) -> ClusterFacts:
    return ClusterFacts(**{"driver": DRIVER, "workers": workers or (worker(0), worker(1)), **changes})
