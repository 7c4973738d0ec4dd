"""The Spark session of a command: the running one, spark-submit's, or a new one that starts fast and logs little.

Measured on two cores with pyspark 4.3 and Java 17, from nothing to the end of a first Python job: 25 s as Spark comes, 16 s with
only the quick compiler of the JVM (``TieredStopAtLevel=1``; the heavy work is done by PyTorch, not by the JVM), 10 s with Spark's
classes in a class archive too (see `sparkweave.spark.class_archive`). Serial garbage collection made no difference.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from sparkweave.deploy.spark_home import spark_defaults
from sparkweave.deploy.submission import SECRET_WORDS
from sparkweave.errors import ConfigError, ResourceError
from sparkweave.spark import class_archive, daemon
from sparkweave.spark.java import find_java, launch_environment
from sparkweave.spark.runtime import runtime_of

APP_NAME = "sparkweave"
LOG_SETTINGS = Path(__file__).with_name("log4j2.properties")
QUICK_JVM = "-XX:TieredStopAtLevel=1"

DEFAULTS: Mapping[str, str] = {
    "spark.python.worker.faulthandler.enabled": "true",
    "spark.scheduler.barrier.maxConcurrentTasksCheck.interval": "1s",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "1000",
    "spark.sql.execution.arrow.maxBytesPerBatch": str(16 * 1024 * 1024),
    "spark.sql.files.archive.reader.enabled": "true",
    # A file on HDFS is closed when the NameNode knows of its last block. A client that asks too early, as for small files most do,
    # asks again after 0.4 s as Hadoop comes, so that a checkpoint of one file takes 0.42 s; with this, 0.04 s. It waits for 20 s in
    # all, not 12.
    "spark.hadoop.dfs.client.block.write.locateFollowingBlock.initial.delay.ms": "20",
    "spark.hadoop.dfs.client.block.write.locateFollowingBlock.retries": "10",
}
"""Set unless the user, spark-defaults.conf or spark-submit say something else."""

_SHELL_NAME = "pyspark-shell"


def build_session(master: str | None = None, conf: Mapping[str, str] | None = None) -> SparkSession:
    """The session to work in.

    A running session is taken as it is (``conf`` is applied where a session's settings can still change); under spark-submit its
    master and settings hold, unless ``master`` or ``conf`` say otherwise; else a JVM is started.

    Args:
        master: Spark's master URL; None takes spark-submit's or spark-defaults.conf's, else ``local[*]``.
        conf: Settings by name. ``spark.log.level`` also shows the stacks of failed tasks.

    Raises:
        ConfigError: if a running session has another master, or a setting can't be changed in it.
        ResourceError: if there is no Java, or Spark does not start.
    """
    conf = dict(conf or {})
    # pyspark's own use of pandas; nothing a user could mend.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"pyspark\.")
    running = SparkContext._active_spark_context
    if running is not None:
        return _running_session(running, master, conf)
    with _environment(master, conf):
        try:
            SparkContext._ensure_initialized(conf=_launch_conf(master, conf))
            return _start(_session_conf(master, conf))
        except PySparkException as error:
            raise ResourceError(f"Spark did not start: {error}; the lines above have Spark's own reason") from error


def jvm_environment(*, verbose: bool) -> dict[str, str]:
    """Variables under which Spark's scripts find Java, start it fast, and log what a person wants to see.

    Raises:
        ResourceError: if there is no Java.
    """
    java = find_java()
    options = [QUICK_JVM, f'"-Dlog4j2.configurationFile={LOG_SETTINGS}"', *class_archive.jvm_options(java)]
    if verbose:
        options.append("-Dsparkweave.log.failures=warn")
    return {
        **launch_environment(java),
        "SPARK_SUBMIT_OPTS": " ".join([*options, os.environ.get("SPARK_SUBMIT_OPTS", "")]).strip(),
        "SPARK_LAUNCHER_OPTS": os.environ.get("SPARK_LAUNCHER_OPTS", QUICK_JVM),
    }


def is_local(master: str) -> bool:
    """Whether everything runs on this machine (``local[2]``, ``local-cluster[2,1,1024]``)."""
    return master == "local" or master.startswith(("local[", "local-cluster["))


def has_ended(spark: SparkSession) -> bool:
    """Whether it was stopped, by this program or from outside: with its application master a whole application ends."""
    return runtime_of(spark).has_ended()


def _running_session(context: SparkContext, master: str | None, conf: Mapping[str, str]) -> SparkSession:
    if master is not None and master != context.master:
        raise ConfigError(
            f"master is {master!r}, but a Spark session is running with master {context.master!r}: leave the master out,"
            " or stop that session first"
        )
    session = SparkSession.builder.getOrCreate()
    for name, value in conf.items():
        if session.conf.isModifiable(name):
            session.conf.set(name, value)
        elif context.getConf().get(name) != value:
            raise ConfigError(
                f"{name} can't be changed in a running Spark session: stop it first, or leave the setting out"
            )
    return session


def _start(conf: SparkConf) -> SparkSession:
    session = SparkSession.builder.config(conf=conf).getOrCreate()
    session.sparkContext.setLogLevel(conf.get("spark.log.level", "WARN") or "WARN")
    return session


def _launch_conf(master: str | None, conf: Mapping[str, str]) -> SparkConf:
    """What spark-submit has to know before the JVM runs; secrets are kept from its command line."""
    launch = SparkConf(loadDefaults=False)
    for name, value in conf.items():
        if not any(word in name.lower() for word in SECRET_WORDS):
            launch.set(name, value)
    if master is not None:
        launch.setMaster(master)
    return launch


def _session_conf(master: str | None, conf: Mapping[str, str]) -> SparkConf:
    """The JVM's settings (spark-defaults.conf, spark-submit), completed by the defaults, overridden by the caller."""
    settings = SparkConf()
    for name, value in DEFAULTS.items():
        settings.setIfMissing(name, value)
    settings.set("spark.ui.showConsoleProgress", "false")
    if settings.get("spark.app.name", _SHELL_NAME) == _SHELL_NAME:
        settings.setAppName(APP_NAME)
    settings.setIfMissing("spark.master", "local[*]")
    if master is not None:
        settings.setMaster(master)
    if is_local(settings.get("spark.master") or ""):
        settings.setIfMissing("spark.driver.host", "127.0.0.1")
        settings.setIfMissing("spark.driver.bindAddress", "127.0.0.1")
        # Pixels hardly shrink, and nothing crosses a network: an eighth less time from archive to shards.
        settings.setIfMissing("spark.shuffle.compress", "false")
        settings.setIfMissing("spark.sql.inMemoryColumnarStorage.compressed", "false")
        settings.setIfMissing("spark.rdd.compress", "false")
        if os.environ["PYSPARK_PYTHON"] == sys.executable and daemon.is_installed():
            settings.setIfMissing("spark.python.daemon.module", daemon.MODULE)
    for name, value in conf.items():
        settings.set(name, value)
    return settings


@contextmanager
def _environment(master: str | None, conf: Mapping[str, str]) -> Iterator[None]:
    """The environment in which Spark is started; put back afterwards."""
    before = dict(os.environ)
    os.environ.setdefault("PYSPARK_PYTHON", conf.get("spark.pyspark.python", sys.executable))
    if "PYSPARK_GATEWAY_PORT" not in os.environ:  # not under spark-submit: a JVM will be started
        os.environ.update(jvm_environment(verbose="spark.log.level" in conf))
        if is_local(master or conf.get("spark.master") or _default_master()):
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")  # the web UI too listens on loopback only
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _default_master() -> str:
    """The master that spark-defaults.conf names, if there is such a file; read here because the JVM does not run yet."""
    return spark_defaults().get("spark.master", "local[*]")
