"""What is known of a cluster before it is judged: plain data, from the driver and from one probe a slot."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from sparkweave.distributed.network import DIRECT, Network

if TYPE_CHECKING:
    from sparkweave.deploy.memory_plan import Containers

PACKAGES = ("sparkweave", "torch", "pyarrow", "numpy", "opencv-python-headless", "safetensors", "hdfs-native")
"""What a worker uses, and so has to have."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contact:
    """An attempt to reach somebody.

    Attributes:
        rank: The worker that was called, or None for the driver.
        seconds: The quickest of a few round trips, or None if there was none.
        offset: How many seconds its clock is ahead of the caller's, give or take half of ``seconds``.
        error: Why it can't be reached.
    """

    rank: int | None = None
    seconds: float | None = None
    offset: float | None = None
    error: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder that a worker writes to: its free bytes, and why nothing can be written there."""

    path: str
    free: int | None = None
    error: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkerFacts:
    """What one slot's Python worker found.

    Attributes:
        rank: The number of its task.
        host: Its machine.
        executor: What tells its executor from others on the machine.
        python: The interpreter's version.
        executable: The interpreter.
        versions: Of each package; None where it isn't installed.
        failed_imports: Why a module that training needs can't be imported.
        memory: Resident bytes after the imports.
        addresses_used: Bytes of addresses (virtual memory) then.
        addresses_allowed: The process's limit of these, if there is one.
        memory_allowed: The limit of its control group, if there is one.
        memory_available: What the machine, or the control group, still had before the imports.
        cores: Of the machine, as far as this process may use them.
        task_cpus: Threads that a worker computes with.
        openmp_threads: ``OMP_NUM_THREADS`` in its environment.
        gpus: Addresses that Spark gave to the task.
        processor: The model of the CPU.
        has_bfloat16: Whether the CPU computes in bfloat16 itself.
        local_folders: Spark's; shards are kept in the first.
        shared_memory: ``/dev/shm``.
        own_addresses: What the machine's own name stands for.
        interfaces: IPv4 address by interface, without loopback.
        interface: The one that workers talk over; None if it can't be told.
        address: This worker's address there.
        port: Where it listened for its peers.
        cut_off: Why it can't listen for its peers.
        driver: Whether the driver was reached.
        peers: Whether each other worker was.
        reads: Archives that can't be read, with the reason.
    """

    rank: int
    host: str
    executor: str
    python: str
    executable: str
    versions: Mapping[str, str | None]
    failed_imports: Mapping[str, str]
    memory: int
    addresses_used: int
    addresses_allowed: int | None
    memory_allowed: int | None
    memory_available: int
    cores: int
    task_cpus: int
    openmp_threads: str | None
    gpus: Sequence[str]
    processor: str
    has_bfloat16: bool
    local_folders: Sequence[Folder]
    shared_memory: Folder | None
    own_addresses: Sequence[str]
    interfaces: Mapping[str, str]
    interface: str | None
    address: str | None
    port: int | None
    cut_off: str | None
    driver: Contact
    peers: Sequence[Contact]
    reads: Mapping[str, str]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """From what a probe returned."""
        shared = record["shared_memory"]
        nested = {
            "local_folders": [Folder(**folder) for folder in record["local_folders"]],
            "shared_memory": Folder(**shared) if shared else None,
            "driver": Contact(**record["driver"]),
            "peers": [Contact(**contact) for contact in record["peers"]],
        }
        return cls(**{**record, **nested})


@dataclasses.dataclass(frozen=True, kw_only=True)
class DriverFacts:
    """What is known of the driver and its session.

    Attributes:
        host: As executors know it.
        master: Spark's master.
        python: The interpreter's version.
        versions: Of each package.
        spark: Spark's version.
        java: Java's version, ``17.0.19``.
        settings: Spark's, by name.
        slots: Tasks that run at once.
        network: How workers are to reach each other and the driver.
    """

    host: str
    master: str
    python: str
    versions: Mapping[str, str | None]
    spark: str
    java: str
    settings: Mapping[str, str]
    slots: int
    network: Network = DIRECT

    @property
    def is_local(self) -> bool:
        """Whether driver and workers are all on one machine, by Spark's word."""
        return self.master.startswith("local")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterFacts:
    """All that is judged.

    Attributes:
        driver: See `DriverFacts`.
        workers: One for each slot; none if no job could run.
        containers: The executors' limits.
    """

    driver: DriverFacts
    workers: Sequence[WorkerFacts]
    containers: Containers | None = None

    @property
    def hosts(self) -> list[str]:
        """The machines with workers."""
        return sorted({worker.host for worker in self.workers})

    def executors(self) -> list[list[WorkerFacts]]:
        """The workers of each executor."""
        found: dict[tuple[str, str], list[WorkerFacts]] = {}
        for worker in self.workers:
            found.setdefault((worker.host, worker.executor), []).append(worker)
        return [found[key] for key in sorted(found)]

    def on(self, host: str) -> list[WorkerFacts]:
        """The workers of a machine."""
        return [worker for worker in self.workers if worker.host == host]
