"""What is wrong with the executors' Python, memory and disks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sparkweave.deploy.doctor.facts import ClusterFacts, WorkerFacts
from sparkweave.deploy.doctor.finding import Finding, Severity
from sparkweave.deploy.doctor.probe import SHARED_MEMORY
from sparkweave.deploy.memory_size import GIB, MIB, show_size, spark_size

_LEAST_DISK = GIB
_LEAST_SHARED_MEMORY = 256 * MIB
_MUST_MATCH = ("sparkweave", "torch")
_SAME_PYTHON = "run the same environment everywhere: `sparkweave submit` ships this one, or point PYSPARK_PYTHON to one Python on all nodes"


def machine_findings(cluster: ClusterFacts) -> Iterator[Finding]:
    """All findings about single executors; one of several alike stands for all workers of a host."""
    seen = set()
    for rule in _RULES:
        for worker in cluster.workers:
            for finding in rule(worker, cluster):
                if finding not in seen:
                    seen.add(finding)
                    yield finding
    for host in cluster.hosts:
        yield from _shared(cluster, host)
    yield from _containers(cluster)
    yield from _processors(cluster)


def _of(worker: WorkerFacts, check: str, what: str, fix: str, severity: Severity = "error") -> Finding:
    return Finding(check=check, host=worker.host, severity=severity, what=what, fix=fix)


def _python(worker: WorkerFacts, cluster: ClusterFacts) -> Iterator[Finding]:
    here, there = cluster.driver.python, worker.python
    if here.split(".")[:2] != there.split(".")[:2]:
        yield _of(worker, "Python", f"Python is {there} ({worker.executable}), and {here} on the driver", _SAME_PYTHON)


def _packages(worker: WorkerFacts, cluster: ClusterFacts) -> Iterator[Finding]:
    for name, there in worker.versions.items():
        here = cluster.driver.versions.get(name)
        if here is None or there is None or _public(there) == _public(here):
            continue
        severity: Severity = "error" if name in _MUST_MATCH else "warning"
        yield _of(
            worker, name, f"{name} is {there} in {worker.executable}, and {here} on the driver", _SAME_PYTHON, severity
        )


def _imports(worker: WorkerFacts, cluster: ClusterFacts) -> Iterator[Finding]:
    missing = [
        name for name, version in worker.versions.items() if version is None and cluster.driver.versions.get(name)
    ]
    if missing:
        what = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed in {worker.executable}"
        yield _of(worker, missing[0], what, _SAME_PYTHON)
    for name, reason in worker.failed_imports.items():
        if not missing:
            yield _of(worker, "imports", f"{name} can't be imported in {worker.executable}: {reason}", _SAME_PYTHON)


def _addresses(worker: WorkerFacts, _: ClusterFacts) -> Iterator[Finding]:
    allowed = worker.addresses_allowed
    if allowed is not None and allowed < 2 * worker.addresses_used:
        yield _of(
            worker,
            "memory",
            f"a worker may have {show_size(allowed)} of addresses (RLIMIT_AS), and its imports alone take {show_size(worker.addresses_used)}",
            "leave spark.executor.pyspark.memory unset, and have `ulimit -v` lifted where executors start",
        )


def _disks(worker: WorkerFacts, _: ClusterFacts) -> Iterator[Finding]:
    for folder in worker.local_folders:
        if folder.error is not None:
            yield _of(
                worker,
                "disk",
                f"nothing can be written to {folder.path}, one of Spark's local folders: {folder.error}",
                "set spark.local.dir (on YARN the NodeManager's local-dirs) to a folder with space that its user may write to",
            )
    first = next(iter(worker.local_folders), None)
    if first is not None and first.free is not None and first.free < _LEAST_DISK:
        yield _of(
            worker,
            "disk",
            f"{_disk_of(first.path)} has {show_size(first.free)} left; decoded images (height x width x channels bytes each) are kept there, "
            "by Spark and in the workers' shards",
            "free space, or set spark.local.dir to a larger disk",
            "warning",
        )


def _gpu_memory(worker: WorkerFacts, _: ClusterFacts) -> Iterator[Finding]:
    shared = worker.shared_memory
    if worker.gpus and (shared is None or shared.free is None or shared.free < _LEAST_SHARED_MEMORY):
        there = f"has {show_size(shared.free)} left" if shared and shared.free is not None else "can't be written to"
        what = f"{SHARED_MEMORY} {there}, and NCCL moves what GPUs of one machine exchange through it"
        yield _of(
            worker, "shared memory", what, "start the container with a larger one (docker run --shm-size=1g)", "warning"
        )


def _reads(worker: WorkerFacts, _: ClusterFacts) -> Iterator[Finding]:
    for path, reason in worker.reads.items():
        fix = "put it where every executor can read it: on HDFS (`sparkweave submit --upload` does), or in a folder that all mount"
        yield _of(worker, "input", f"{path} can't be read: {reason}", fix)


def _shared(cluster: ClusterFacts, host: str) -> Iterator[Finding]:
    """What the workers of one machine have to share."""
    workers = cluster.on(host)
    one = workers[0]
    threads = sum(worker.task_cpus for worker in workers)
    if threads > one.cores:
        yield _of(
            one,
            "threads",
            f"{len(workers)} workers compute with {threads} threads, and {one.cores} cores are theirs: threads that wait for each other "
            "make training several times slower",
            "ask for fewer executor cores on this machine, or fewer executors",
            "warning",
        )
    needed = sum(worker.memory for worker in workers)
    available = min(worker.memory_available for worker in workers)
    if needed > available:
        yield _of(
            one,
            "memory",
            f"the imports of {len(workers)} workers alone take {show_size(needed)}, and {show_size(available)} were left"
            + (f" under the limit of {show_size(one.memory_allowed)}" if one.memory_allowed else ""),
            "give the machine, or the container, more memory, or run fewer workers on it",
        )


def _containers(cluster: ClusterFacts) -> Iterator[Finding]:
    """Executors with limits (YARN, Kubernetes): Python workers live in the overhead."""
    given = cluster.containers
    if given is None or not given.limited:
        return
    needed, one = max(
        ((sum(worker.memory for worker in workers), workers[0]) for workers in cluster.executors()),
        key=lambda pair: pair[0],
        default=(0, None),
    )
    if one is not None and needed > given.overhead:
        enough = spark_size(2 * needed)
        yield _of(
            one,
            "memory",
            f"an executor's overhead is {show_size(given.overhead)}, and the imports of its workers alone take {show_size(needed)}: the "
            "container would be killed",
            f"set --executor-memory-overhead {enough} (spark.executor.memoryOverhead), or what `sparkweave plan` says",
        )


def _processors(cluster: ClusterFacts) -> Iterator[Finding]:
    kinds = sorted({worker.processor for worker in cluster.workers})
    if len(kinds) > 1:
        yield Finding(
            check="processor",
            host="session",
            severity="note",
            what=f"executors have different processors ({', '.join(kinds)}): the same seed gives the same model only on one kind",
            fix="nothing, unless runs have to be repeated to the bit",
        )
    without = sorted({worker.host for worker in cluster.workers if not worker.has_bfloat16 and not worker.gpus})
    if without:
        yield Finding(
            check="bfloat16",
            host=", ".join(without),
            severity="note",
            what="the processor has no bfloat16 of its own (avx512_bf16, amx_bf16): --precision bfloat16 was measured 12 times slower "
            "than float32 on such a one",
            fix="train with --precision float32, the default",
        )


_RULES: tuple[Callable[[WorkerFacts, ClusterFacts], Iterator[Finding]], ...] = (
    _python,
    _packages,
    _imports,
    _addresses,
    _disks,
    _gpu_memory,
    _reads,
)


def _public(version: str) -> str:
    """Without what says how it was built: 2.15.0+cpu is 2.15.0."""
    return version.partition("+")[0]


def _disk_of(folder: str) -> str:
    """Spark's local folders have a name of their own in each executor, which tells nobody anything."""
    return folder.partition("/blockmgr-")[0]
