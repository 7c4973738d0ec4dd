"""Spark's settings that training can't live with, or that mean something else with it than one may think."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping

from sparkweave.deploy.doctor.facts import DriverFacts
from sparkweave.deploy.doctor.finding import Finding, Severity

Settings = Mapping[str, str]

_OLDEST_SPARK, _OLDEST_JAVA = (4, 1), 17
_LONG_CHECK_SECONDS = 5
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+)\s*(ms|s|min|m|h|d)?")
_IDLE_LIMITS = (
    ("spark.python.worker.killOnIdleTimeout", "spark.python.worker.idleTimeoutSeconds"),
    ("spark.sql.execution.pyspark.udf.killOnIdleTimeout", "spark.sql.execution.pyspark.udf.idleTimeoutSeconds"),
)
_PROTECTED = ("spark.authenticate", "spark.network.crypto.enabled", "spark.ssl.enabled", "spark.ssl.rpc.enabled")


def refused_settings(settings: Settings) -> Iterator[Finding]:
    """What makes any training fail, whatever the cluster is like; costs nothing to know."""
    if is_on(settings, "spark.dynamicAllocation.enabled"):
        yield _finding(
            "dynamic allocation",
            "spark.dynamicAllocation.enabled is true; all workers must run at the same time, which Spark doesn't offer with it",
            "start with --conf spark.dynamicAllocation.enabled=false and a fixed --num-executors",
        )
    for kill, seconds in _IDLE_LIMITS:
        if is_on(settings, kill) and settings.get(seconds, "0").strip() not in ("", "0"):
            yield _finding(
                "idle workers",
                f"{kill} is true: Spark ends a Python worker that hands over nothing for {settings[seconds]} s, as one that trains does",
                f"start with --conf {kill}=false",
            )


def unprotected_tensors(settings: Settings) -> Iterator[Finding]:
    """What training refuses where workers are on several machines, unless it is told how to take it."""
    protected = [f"{name} is true" for name in _PROTECTED if is_on(settings, name)]
    if protected:
        yield _finding(
            "security",
            f"{', '.join(protected)}: Spark protects its own connections, but gradients and weights would go from worker to worker over "
            "plain TCP, neither encrypted nor authenticated: who can listen on that network can read them, who can write can change them",
            "send them through Spark's connections with --transport spark, which takes a second or more each time, or say that the network "
            "is trusted with --allow-plaintext (transport and allow_plaintext of sparkweave.Network in Python)",
        )


def setting_findings(driver: DriverFacts) -> Iterator[Finding]:
    """All findings about the session."""
    yield from refused_settings(driver.settings)
    for rule in _RULES:
        yield from rule(driver)


def is_on(settings: Settings, name: str) -> bool:
    """Whether a switch is on."""
    return settings.get(name, "false").strip().lower() == "true"


def _finding(check: str, what: str, fix: str, severity: Severity = "error") -> Finding:
    return Finding(check=check, host="session", severity=severity, what=what, fix=fix)


_warning = functools.partial(_finding, severity="warning")
_note = functools.partial(_finding, severity="note")


def _versions(driver: DriverFacts) -> Iterator[Finding]:
    numbers = tuple(int(part) for part in re.findall(r"\d+", driver.spark)[:2])
    if numbers < _OLDEST_SPARK:
        yield _finding(
            "Spark", f"the session is Spark {driver.spark}, and sparkweave needs 4.1 or newer", "use a newer Spark"
        )
    java = re.match(r"(?:1\.)?(\d+)", driver.java)
    if java and int(java[1]) < _OLDEST_JAVA:
        yield _finding(
            "Java",
            f"the driver runs Java {driver.java}, and Spark 4 needs {_OLDEST_JAVA} or newer",
            "set JAVA_HOME to a newer one",
        )


def _python_memory(driver: DriverFacts) -> Iterator[Finding]:
    if "spark.executor.pyspark.memory" in driver.settings:
        yield _warning(
            "memory",
            f"spark.executor.pyspark.memory is {driver.settings['spark.executor.pyspark.memory']}: it limits a worker's addresses, and "
            "torch's libraries and the mapped shard count there, used or not",
            "leave it unset, and limit a worker's real memory with --native-memory",
        )


def _barrier_check(driver: DriverFacts) -> Iterator[Finding]:
    name = "spark.scheduler.barrier.maxConcurrentTasksCheck.interval"
    seconds = _duration(driver.settings.get(name, "15s"))
    if seconds is not None and seconds > _LONG_CHECK_SECONDS:
        yield _note(
            "barrier check",
            f"{name} is {driver.settings.get(name, '15s (its default)')}: when an executor is lost, Spark looks only that often "
            "whether there are slots again",
            f"start with --conf {name}=1s",
        )


def _task_cpus(driver: DriverFacts) -> Iterator[Finding]:
    each, cores = driver.settings.get("spark.task.cpus", "1"), driver.settings.get("spark.executor.cores")
    if cores and each.isdigit() and cores.isdigit() and int(each) > 0 and int(cores) % int(each):
        yield _note(
            "cores",
            f"spark.executor.cores={cores} is no multiple of spark.task.cpus={each}: {int(cores) % int(each)} of an executor's cores do nothing",
            "let spark.task.cpus divide spark.executor.cores",
        )


def _openmp(driver: DriverFacts) -> Iterator[Finding]:
    name, each = "spark.executorEnv.OMP_NUM_THREADS", driver.settings.get("spark.task.cpus", "1")
    threads = driver.settings.get(name)
    if threads is not None and threads.isdigit() and int(threads) > int(each):
        yield _warning(
            "threads",
            f"{name} is {threads}, and a task has spark.task.cpus={each}: libraries start more threads than there are cores for them",
            f"leave {name} unset; Spark sets it to spark.task.cpus",
        )


def _collectives(driver: DriverFacts) -> Iterator[Finding]:
    network = driver.network
    if not (driver.is_local or network.allow_plaintext or network.transport == "spark"):
        yield from unprotected_tensors(driver.settings)


def _encrypted_files(driver: DriverFacts) -> Iterator[Finding]:
    if is_on(driver.settings, "spark.io.encryption.enabled"):
        yield _warning(
            "security",
            "spark.io.encryption.enabled: Spark encrypts what it spills, but a worker keeps its decoded images in a plain file without "
            "a name in spark.local.dir while it trains",
            "put spark.local.dir on an encrypted file system",
        )


_RULES: tuple[Callable[[DriverFacts], Iterator[Finding]], ...] = (
    _versions,
    _python_memory,
    _barrier_check,
    _task_cpus,
    _openmp,
    _collectives,
    _encrypted_files,
)


def _duration(text: str) -> float | None:
    """Spark's durations; a bare number counts seconds here."""
    match = _DURATION.fullmatch(text.strip().lower())
    return None if match is None else int(match[1]) * _SECONDS[match[2] or "s"]
