"""One short job that looks at every slot: the Spark part of `sparkweave doctor`."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import platform
import secrets
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from py4j.protocol import Py4JError
from pyspark import BarrierTaskContext, TaskContext, cloudpickle
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from sparkweave import distributed, errors
from sparkweave.deploy import doctor as probes
from sparkweave.deploy.doctor.diagnosis import diagnose, in_order
from sparkweave.deploy.doctor.facts import PACKAGES, ClusterFacts, DriverFacts, WorkerFacts
from sparkweave.deploy.doctor.finding import Finding
from sparkweave.deploy.doctor.probe import examine, find_versions
from sparkweave.deploy.doctor.settings import is_on
from sparkweave.distributed.beacon import beacon
from sparkweave.distributed.network import DIRECT, Network
from sparkweave.errors import ArtifactError, DataError, ResourceError
from sparkweave.filesystem import FileSystem
from sparkweave.spark.archive_paths import find_archives
from sparkweave.spark.failures import describe
from sparkweave.spark.interpreters import unlike_interpreters
from sparkweave.spark.jobs import described
from sparkweave.spark.memory import WORKER_MODULES, containers_of, has_container_limits
from sparkweave.spark.runtime import runtime_of
from sparkweave.spark.slots import count_slots, require_slots, session_settings
from sparkweave.spark.storage import storage_for

_LONGEST_SURVEY_SECONDS = 300.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examination:
    """What was found: the facts, and what is wrong with them."""

    cluster: ClusterFacts
    findings: Sequence[Finding]


def examine_cluster(
    spark: SparkSession,
    *,
    workers: int | None = None,
    output: str | None = None,
    inputs: Sequence[str] = (),
    network: Network = DIRECT,
) -> Examination:
    """Looks at the session and at every slot, in one job.

    Args:
        spark: The session.
        workers: How many are to train; None for all slots.
        output: Where a model is to be written.
        inputs: Archives that every executor should be able to read.
        network: How workers are to reach each other and the driver.
    """
    found = [*_lacking_slots(spark, workers), *(_unwritable(output) if output else ())]
    driver = _driver_facts(spark, network)
    files, problems = _find(spark, inputs)
    facts, failures = _survey(spark, driver, files) if driver.slots else ([], [])
    containers = containers_of(driver.settings, limited=has_container_limits(driver.master))
    cluster = ClusterFacts(driver=driver, workers=facts, containers=containers)
    return Examination(cluster=cluster, findings=in_order([*found, *diagnose(cluster), *problems, *failures]))


def probe_slot(_rows: Iterable[Any], *, request: Mapping[str, Any], together: bool) -> Iterator[str]:
    """Task: what `sparkweave.deploy.doctor.probe.examine` finds here, as JSON.

    Args:
        request: See there.
        together: Whether this is a barrier task.
    """
    context = BarrierTaskContext.get() if together else TaskContext.get()
    assert context is not None
    found = examine(
        request,
        rank=context.partitionId(),
        exchange=context.allGather if isinstance(context, BarrierTaskContext) else None,
        gpus=[address for name, value in context.resources().items() if name == "gpu" for address in value.addresses],
        task_cpus=context.cpus(),
    )
    yield json.dumps(found)


def _lacking_slots(spark: SparkSession, workers: int | None) -> Iterator[Finding]:
    """Waits for executors that still start, as a training would, and then for the others."""
    try:
        require_slots(spark, workers)
    except ResourceError as error:
        what, _, fix = str(error).partition(": ")
        yield _failure("slots", "session", what, fix)
        return
    if workers is not None:
        with contextlib.suppress(ResourceError):  # those wanted are there
            require_slots(spark, None)


def _driver_facts(spark: SparkSession, network: Network) -> DriverFacts:
    context = spark.sparkContext
    jvm: Any = context._jvm
    return DriverFacts(
        host=context.getConf().get("spark.driver.host") or "localhost",
        master=context.master or "",
        python=platform.python_version(),
        versions=find_versions(PACKAGES),
        spark=spark.version,
        java=jvm.java.lang.System.getProperty("java.version"),
        settings=session_settings(spark),
        slots=count_slots(spark),
        network=network,
    )


def _survey(
    spark: SparkSession, driver: DriverFacts, files: Sequence[tuple[FileSystem, Sequence[str]]]
) -> tuple[list[WorkerFacts], list[Finding]]:
    """The facts of each slot, or why there are none."""
    context, together = spark.sparkContext, not is_on(driver.settings, "spark.dynamicAllocation.enabled")
    token = secrets.token_hex(16)
    called = driver.network.endpoint(driver.host, context.getConf().get("spark.driver.bindAddress"))
    with beacon(called.bind, token, called.ports) as answering:
        request = {
            "driver": called.host,
            "port": answering.port,
            "token": token,
            "subnet": driver.network.subnet,
            "ports": driver.network.ports,
            "calls_peers": driver.network.transport == "collective",
            "packages": PACKAGES,
            "modules": WORKER_MODULES,
            "files": [((type(fs).__name__, vars(fs)), paths) for fs, paths in files],
        }
        rows = context.parallelize(range(driver.slots), driver.slots)
        task = functools.partial(probe_slot, request=request, together=together)
        try:
            with _by_value(), described(spark, "looking at every executor"), _limited(spark):
                job = rows.barrier().mapPartitions(task) if together else rows.mapPartitions(task)
                records = [json.loads(record) for record in job.collect()]
        except (PySparkException, Py4JError, ResourceError) as error:
            what = str(error) if isinstance(error, ResourceError) else describe(str(error))
            failure = _failure("executors", "session", what, "mend that first; most checks need this job")
            return [], [*unlike_interpreters(spark, driver.slots)] or [failure]
    return [WorkerFacts.of(record) for record in records], []


@contextlib.contextmanager
def _limited(spark: SparkSession) -> Iterator[None]:
    """Cancels what takes far longer than any slot that answers at all: a barrier job waits for ever for one that doesn't.

    Raises:
        ResourceError: if it came to that.
    """
    runtime, tag = runtime_of(spark), f"sparkweave-{secrets.token_hex(8)}"
    is_late = threading.Event()

    def cancel() -> None:
        is_late.set()
        runtime.cancel(tag)

    timer = threading.Timer(_LONGEST_SURVEY_SECONDS, cancel)
    timer.daemon = True
    with runtime.tagged(tag):
        timer.start()
        try:
            yield
        except (PySparkException, Py4JError) as error:
            if is_late.is_set():
                raise ResourceError(
                    f"not all executors answered within {_LONGEST_SURVEY_SECONDS:g} s; a Python process that was started there is stopped "
                    "or hangs: Spark's web UI shows which task still ran"
                ) from error
            raise
        finally:
            timer.cancel()


@contextlib.contextmanager
def _by_value() -> Iterator[None]:
    """Tasks bring the probes along: executors may have another sparkweave, or none."""
    modules = (probes, distributed, errors, sys.modules[__name__])
    for module in modules:
        cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)  # type: ignore[no-untyped-call]


def _find(spark: SparkSession, inputs: Sequence[str]) -> tuple[Sequence[tuple[FileSystem, list[str]]], list[Finding]]:
    """The archives that tasks read themselves, and what is wrong with the paths."""
    try:
        found = find_archives(spark, inputs)
    except DataError as error:
        return (), [_failure("input", "driver", str(error), "correct the path")]
    by_spark = [
        Finding(
            check="input",
            host="driver",
            severity="note",
            what=f"{path}: is read by Spark's JVM, one task an archive, and isn't tried here",
            fix="nothing; on HDFS or a shared folder many tasks would share one archive",
        )
        for path in found.by_spark
    ]
    return found.in_ranges, by_spark


def _unwritable(url: str) -> Iterator[Finding]:
    """Tries to write beside ``url``, where a save would stage; folders that don't exist yet are not made."""
    try:
        storage = storage_for(url)
        path = storage.resolve(url)
        folder = os.path.dirname(path)
        if storage.kind(path) is not None:
            yield Finding(
                check="output",
                host="driver",
                severity="warning",
                what=f"{url} is there already",
                fix="choose another path, or --overwrite",
            )
        while storage.kind(folder) is None and folder != os.path.dirname(folder):
            folder = os.path.dirname(folder)
        trial = f"{folder.rstrip('/')}/.sparkweave-doctor-{secrets.token_hex(8)}"
        try:
            storage.write(trial, b"")
        finally:
            storage.remove(trial)
    except (OSError, ArtifactError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        yield _failure("output", "driver", f"{url} can't be written: {reason}", "correct the path, or its permissions")


def _failure(check: str, host: str, what: str, fix: str) -> Finding:
    return Finding(check=check, host=host, severity="error", what=what, fix=fix)
