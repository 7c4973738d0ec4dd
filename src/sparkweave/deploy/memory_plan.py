"""The memory plan: heap, overhead and a worker's own memory, reckoned in one place where they can't contradict.

On YARN and Kubernetes a container's limit is the executor's heap plus its overhead. Python workers, with torch and all tensors,
live in the overhead, outside of the heap, and several workers of one executor share it. Users of Deeplearning4j know the same two
numbers as ``memoryOverhead`` and ``javacpp.maxbytes``.

Everything here is arithmetic on plain data; what a worker takes was measured before (`sparkweave.deploy.footprint`).
"""

from __future__ import annotations

import dataclasses
import math

from sparkweave.data.image_rows import BATCH_BYTES
from sparkweave.deploy.footprint import Footprint
from sparkweave.deploy.memory_findings import Finding, find_contradictions, find_misfits
from sparkweave.deploy.memory_size import GIB, MIB, show_size, spark_size

SAFETY = 0.20
"""Of a worker's memory above the imports. On `local-cluster`, workers took up to 16 % more of that than the sum without it."""

JVM_BYTES = 256 * MIB
"""An executor's JVM outside its heap (classes, compiled code, threads, network buffers): up to 228 MiB measured."""

_ARROW_BATCHES = 12  # what is read, inflated, decoded, dealt out, sent and received; nothing of it is given back
_BATCHES_IN_USE = 2
_BYTES_A_VALUE = 1 + 4  # as decoded, and as float32
_BYTES_AN_EXAMPLE = 8 + 8 + 8  # key, label, position
_DRIVER_BASE = 256 * MIB
_STATES_IN_HEAP = 2
_STATES_IN_HEAP_AT_EASE = 4
_STATES_IN_PYTHON = 5
_STEP = 64 * MIB


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workload:
    """What is trained, or scored.

    Attributes:
        footprint: Of a worker.
        batch_size: Images a step and worker.
        prefetch: Minibatches prepared ahead.
        images: All of them.
        shape: (channels, height, width) of each, or (numbers,) of vectors.
        workers: How many share them.
        largest_shard: Images of the worker that has most, where that is known already.
        native_memory: A worker's own limit (``--native-memory``), or None.
        scores: Whether a model is only used: then there are no shards and no batches to choose.
    """

    footprint: Footprint
    batch_size: int
    prefetch: int
    images: int
    shape: tuple[int, ...]
    workers: int
    largest_shard: int | None = None
    native_memory: int | None = None
    scores: bool = False

    @property
    def example_bytes(self) -> int:
        """Of one image's pixels, or of one vector's float32 numbers."""
        return math.prod(self.shape) * (4 if len(self.shape) == 1 else 1)

    @property
    def shard(self) -> int:
        """Images of the worker that has most."""
        if self.largest_shard is not None:
            return self.largest_shard
        mean = self.images / self.workers
        # Images are dealt out by a hash: three standard deviations over the mean.
        return min(self.images, math.ceil(mean + 3 * math.sqrt(mean)))

    @property
    def batch(self) -> int:
        """Images of the largest step: batches are even, and none is larger than the shard."""
        if self.largest_shard is None:
            return min(self.batch_size, self.shard)
        return math.ceil(self.shard / math.ceil(self.shard / self.batch_size)) if self.shard else 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Containers:
    """What the cluster gives, in bytes, named after Spark's settings.

    Attributes:
        executor_memory: The heap.
        executor_overhead: None takes Spark's default.
        overhead_factor: Of the heap, for that default.
        least_overhead: For that default.
        executor_cores: Slots, with ``task_cpus`` each.
        task_cpus: Threads of a worker.
        executors: How many are asked for, or None where the workers were counted by what is there.
        pyspark_memory: Of ``spark.executor.pyspark.memory``; 0 if it isn't set.
        off_heap: Of ``spark.memory.offHeap.size``, if that is enabled.
        driver_memory: The driver's heap.
        driver_overhead: None takes Spark's default.
        driver_in_container: Whether the driver too runs in a container (cluster mode).
        max_result_size: Most bytes that a job may return; 0 for no limit.
        largest_container: What YARN grants at most, or None where that isn't known.
        limited: Whether executors run in containers with these limits at all; without, only a worker's own limit can be met.
    """

    executor_memory: int = GIB
    executor_overhead: int | None = None
    overhead_factor: float = 0.1
    least_overhead: int = 384 * MIB
    executor_cores: int = 1
    task_cpus: int = 1
    executors: int | None = None
    pyspark_memory: int = 0
    off_heap: int = 0
    driver_memory: int = GIB
    driver_overhead: int | None = None
    driver_in_container: bool = False
    max_result_size: int = GIB
    largest_container: int | None = None
    limited: bool = True

    @property
    def slots(self) -> int:
        """Tasks that an executor runs at once."""
        return max(1, self.executor_cores // self.task_cpus)

    @property
    def overhead(self) -> int:
        """What an executor has outside of its heap."""
        return self._overhead(self.executor_overhead, self.executor_memory)

    @property
    def overhead_of_driver(self) -> int:
        """What the driver has outside of its heap, in cluster mode."""
        return self._overhead(self.driver_overhead, self.driver_memory)

    @property
    def container(self) -> int:
        """The limit of an executor's container."""
        return self.executor_memory + self.overhead + self.pyspark_memory + self.off_heap

    def _overhead(self, given: int | None, heap: int) -> int:
        return max(int(self.overhead_factor * heap), self.least_overhead) if given is None else given


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the arithmetic.

    Attributes:
        part: ``worker``, ``executor`` or ``driver``.
        what: What takes the memory.
        size: Bytes.
        how: Where the figure is from.
    """

    part: str
    what: str
    size: int
    how: str


@dataclasses.dataclass(frozen=True)
class MemoryPlan:
    """A workload in containers.

    Example:
        >>> footprint = Footprint(
        ...     daemon=1, base=1, parameters=1, gradients=1, optimizer=1, strategy=0, shared_state=2, peaks=((4, 9),)
        ... )
        >>> workload = Workload(footprint=footprint, batch_size=4, prefetch=2, images=9, shape=(1, 2, 2), workers=1)
        >>> MemoryPlan(workload, Containers()).findings()
        []
    """

    workload: Workload
    containers: Containers

    @property
    def workers_an_executor(self) -> int:
        """Workers that share one executor's overhead."""
        return min(self.containers.slots, self.workload.workers)

    @property
    def executors_needed(self) -> int:
        """Executors with a slot for each worker."""
        return math.ceil(self.workload.workers / self.containers.slots)

    @property
    def worker(self) -> int:
        """Native memory that one worker needs."""
        return sum(row.size for row in self.worker_rows())

    @property
    def limit_needed(self) -> int:
        """The least ``--native-memory``, in MiB, that lets a worker work: what it reserves counts there, used or not."""
        return -(-(self.worker + self.workload.footprint.reserved) // MIB) * MIB

    @property
    def beside_workers(self) -> int:
        """What an executor needs outside of its heap, whatever its workers do."""
        return JVM_BYTES + self.workload.footprint.daemon

    @property
    def overhead_needed(self) -> int:
        """What an executor needs outside of its heap: as much as its workers may take."""
        each = max(self.worker, self.workload.native_memory or 0)
        return self.workers_an_executor * each + self.beside_workers

    @property
    def share(self) -> int:
        """What the overhead leaves to each worker."""
        return max(0, self.containers.overhead - self.beside_workers) // self.workers_an_executor

    @property
    def native_limit(self) -> int:
        """The ``--native-memory`` to work with: the one asked for, or the whole share, in MiB."""
        return self.workload.native_memory or self.share // MIB * MIB

    @property
    def state(self) -> int:
        """Bytes that travel from the workers to the driver with each segment, and back."""
        return self.workload.footprint.shared_state + self.workload.workers * self.workload.footprint.local_state

    def rows(self) -> list[Row]:
        """The whole arithmetic."""
        return [*self.worker_rows(), *self._executor_rows(), *self._driver_rows()]

    def worker_rows(self) -> list[Row]:
        """What one worker's native memory is made of."""
        work, found = self.workload, self.workload.footprint
        peak = found.peak(work.batch)
        start = min(found.peaks[0][1], peak)
        first = max(start - found.tensors, 0)
        batches = min(self._batches(), peak - start)
        measured = (
            "measured" if work.batch <= found.measured_batch else f"up to {found.measured_batch} images, then a line"
        )
        rows = [
            ("Python, Spark's worker, torch", found.base, "measured: a new process after its imports"),
            ("parameters and buffers", found.parameters, "counted"),
            ("gradients", found.gradients, "counted"),
            ("optimizer's state", found.optimizer, "counted after a step"),
            ("strategy's residuals and buffers", found.strategy, "counted after a step"),
            ("state as received, but the parameters", 2 * self._received, "as bytes and as tensors, in each segment but the first"),
            ("sums with other workers", self._sums(), "gloo's and shared memory's copies; twice where more than 2 workers add up in their order"),
            ("torch's kernels, copies of the state", first, f"measured: peak of a batch of {found.peaks[0][0]}, less the above"),
            ("minibatches prepared ahead", batches, f"({work.prefetch} + {_BATCHES_IN_USE}) x {work.batch} images, bytes and float32"),
            ("activations", peak - start - batches, f"{measured}: what remains of the peak with {work.batch} images"),
            ("Arrow batches", _ARROW_BATCHES * BATCH_BYTES, f"{_ARROW_BATCHES} x {show_size(BATCH_BYTES)}"),
            ("margin", round(SAFETY * (peak + _ARROW_BATCHES * BATCH_BYTES)), f"{SAFETY:.0%} of all above the imports"),
            ("shard's mapped pages", self._shard(), f"{work.shard:,} examples of {work.example_bytes:,} bytes, keys, labels"),
        ]  # fmt: skip
        return [Row("worker", *row) for row in rows]

    def findings(self) -> list[Finding]:
        """The contradictions; none if it all fits."""
        return find_contradictions(self)

    def misfits(self) -> list[Finding]:
        """Those among them with which the workers could not even start."""
        return find_misfits(self)

    def recommended(self) -> MemoryPlan:
        """The same with settings that suffice; only what the cluster can't grant may still be found in it."""
        given = self.containers
        limit = self.workload.native_memory
        work = dataclasses.replace(
            self.workload, native_memory=None if limit is None else max(limit, _rounded(self.limit_needed))
        )
        overhead = self.workers_an_executor * max(self.limit_needed, work.native_memory or 0) + self.beside_workers
        containers = dataclasses.replace(
            given,
            executor_overhead=max(_rounded(overhead), given.overhead),
            executor_cores=max(given.executor_cores, given.task_cpus),
            executors=given.executors and max(given.executors, self.executors_needed),
            pyspark_memory=0,
            driver_memory=max(given.driver_memory, _rounded(self.driver_heap_at_ease)),
            driver_overhead=max(given.driver_overhead or 0, _rounded(self.driver_native)) if given.driver_in_container else given.driver_overhead,
            max_result_size=given.max_result_size and max(given.max_result_size, _rounded(2 * self.state)),
        )  # fmt: skip
        return MemoryPlan(work, containers)

    def with_overheads(self) -> MemoryPlan:
        """The same with the overheads that nobody gave, as `recommended`: `sparkweave submit` sets them so."""
        given, advised = self.containers, self.recommended().containers
        return dataclasses.replace(
            self,
            containers=dataclasses.replace(
                given,
                executor_overhead=advised.executor_overhead
                if given.executor_overhead is None
                else given.executor_overhead,
                driver_overhead=advised.driver_overhead if given.driver_overhead is None else given.driver_overhead,
            ),
        )

    def settings(self) -> dict[str, str]:
        """The containers as Spark's settings."""
        given = self.containers
        settings = {
            "spark.executor.memory": spark_size(given.executor_memory),
            "spark.executor.memoryOverhead": spark_size(given.overhead),
            "spark.executor.cores": str(given.executor_cores),
            "spark.task.cpus": str(given.task_cpus),
            "spark.executor.instances": str(self.executors_needed),
            "spark.driver.memory": spark_size(given.driver_memory),
            "spark.driver.maxResultSize": spark_size(given.max_result_size) if given.max_result_size else "0",
        }
        if given.driver_in_container:
            settings["spark.driver.memoryOverhead"] = spark_size(given.overhead_of_driver)
        return settings

    @property
    def driver_heap(self) -> int:
        """The least heap that the driver can work with."""
        return _DRIVER_BASE + _STATES_IN_HEAP * self.state

    @property
    def driver_heap_at_ease(self) -> int:
        """A heap that the driver works well with."""
        return _DRIVER_BASE + _STATES_IN_HEAP_AT_EASE * self.state

    @property
    def driver_native(self) -> int:
        """What the driver needs outside of its heap."""
        return JVM_BYTES + self.workload.footprint.base + _STATES_IN_PYTHON * self.state

    def largest_batch(self, native: int) -> int:
        """The largest batch with which a worker needs at most ``native`` bytes; 0 if there is none."""
        low, high = 0, self.workload.batch_size
        while low < high:
            middle = (low + high + 1) // 2
            fits = (
                dataclasses.replace(self, workload=dataclasses.replace(self.workload, batch_size=middle)).worker
                <= native
            )
            low, high = (middle, high) if fits else (low, middle - 1)
        return low

    def _batches(self) -> int:
        work = self.workload
        return (work.prefetch + _BATCHES_IN_USE) * work.batch * math.prod(work.shape) * _BYTES_A_VALUE

    @property
    def _received(self) -> int:
        found = self.workload.footprint
        return max(found.shared_state + found.local_state - found.parameters, 0)

    def _sums(self) -> int:
        workers = self.workload.workers
        return 0 if workers == 1 else (1 if workers == 2 else 2) * self.workload.footprint.shared_state

    def _shard(self) -> int:
        return self.workload.shard * (self.workload.example_bytes + _BYTES_AN_EXAMPLE)

    def _executor_rows(self) -> list[Row]:
        count, found, given = self.workers_an_executor, self.workload.footprint, self.containers
        default = f"the larger of {given.overhead_factor:.0%} and {show_size(given.least_overhead)}"
        limit = self.workload.native_memory
        rows = [
            ("its workers", count * max(self.worker, limit or 0), f"{count} x {'--native-memory' if (limit or 0) > self.worker else 'a worker'}"),
            ("Spark's Python daemon", found.daemon, "measured: a new process after its imports"),
            ("JVM outside its heap", JVM_BYTES, "classes, compiled code, threads, network buffers"),
            ("overhead needed", self.overhead_needed, "the sum of these"),
            ("overhead", given.overhead, "spark.executor.memoryOverhead" if given.executor_overhead is not None else default),
            ("heap", given.executor_memory, "spark.executor.memory"),
            ("container", given.container, "heap + overhead: YARN kills it above"),
        ]  # fmt: skip
        return [Row("executor", *row) for row in rows]

    def _parts_of_state(self) -> str:
        found = self.workload.footprint
        own = (
            f" + {self.workload.workers} x {show_size(found.local_state)} of each worker's own"
            if found.local_state
            else ""
        )
        return f"safetensors: {show_size(found.shared_state)} of all{own}"

    def _driver_rows(self) -> list[Row]:
        given = self.containers
        rows = [
            ("state of a segment", self.state, self._parts_of_state()),
            ("heap needed", self.driver_heap, f"{show_size(_DRIVER_BASE)} + {_STATES_IN_HEAP} x state: returned rows, broadcast"),
            ("heap", given.driver_memory, "spark.driver.memory"),
            ("most that a job may return", given.max_result_size, "spark.driver.maxResultSize" + ("" if given.max_result_size else ": no limit")),
            ("outside its heap", self.driver_native, f"Python and torch + {_STATES_IN_PYTHON} x state: rows, tensors, checkpoint; JVM"),
        ]  # fmt: skip
        return [Row("driver", *row) for row in rows]


def _rounded(size: int) -> int:
    return -(-size // _STEP) * _STEP
