"""The settings of a small HDFS and YARN on loopback, as plain data, and the folder of XML files that holds them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from sparkweave.testing.ports import LOOPBACK

Settings = Mapping[str, str]

CLUSTER_PORTS = 10
NODE_PORTS = 4
URGENT_QUEUE = "urgent"
"""Has three quarters of the cluster, and takes them back from applications of the default queue, which may use what is free."""

_QUEUES: Settings = {
    "yarn.scheduler.capacity.root.queues": f"default,{URGENT_QUEUE}",
    "yarn.scheduler.capacity.root.default.capacity": "25",
    "yarn.scheduler.capacity.root.default.user-limit-factor": "4",
    f"yarn.scheduler.capacity.root.{URGENT_QUEUE}.capacity": "75",
    "yarn.scheduler.capacity.maximum-am-resource-percent": "1.0",
    "yarn.scheduler.capacity.node-locality-delay": "-1",
}
_LOG_SETTINGS = """status = ERROR
appender.file.type = File
appender.file.name = file
appender.file.fileName = {file}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{HH:mm:ss.SSS}} %p %c{{1}}: %m%n
rootLogger.level = INFO
rootLogger.appenderRef.file.ref = file
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Capacity:
    """What the nodes have, and what one container may have.

    Attributes:
        node_memory_mb: Memory of one NodeManager.
        node_cores: Its virtual cores.
        container_memory_mb: The most that one container may ask for; None for all of a node.
    """

    node_memory_mb: int = 4096
    node_cores: int = 4
    container_memory_mb: int | None = None


def hdfs_settings(folder: Path, ports: Sequence[int]) -> dict[str, str]:
    """One NameNode and one DataNode; takes the first 5 of the ports."""
    namenode, *others = (f"{LOOPBACK}:{port}" for port in ports[:5])
    return {
        "fs.defaultFS": f"hdfs://{namenode}",
        "hadoop.tmp.dir": str(folder / "tmp"),
        "dfs.namenode.http-address": others[0],
        "dfs.datanode.address": others[1],
        "dfs.datanode.ipc.address": others[2],
        "dfs.datanode.http.address": others[3],
        "dfs.datanode.hostname": LOOPBACK,
        "dfs.namenode.name.dir": f"file://{folder}/namenode",
        "dfs.datanode.data.dir": f"file://{folder}/datanode",
        "dfs.replication": "1",
        "dfs.namenode.safemode.extension": "0",
        "dfs.namenode.edits.noeditlogchannelflush": "true",
        "dfs.heartbeat.interval": "1",
    }


def yarn_settings(ports: Sequence[int], capacity: Capacity) -> dict[str, str]:
    """One ResourceManager; takes the ports after those of HDFS. Container limits are enforced as on a real cluster.

    The switch with ``memory.enforced`` in its name is about a kernel's control groups: with it on and no such groups, nothing is enforced.
    """
    services = ("address", "scheduler.address", "resource-tracker.address", "admin.address", "webapp.address")
    addresses = zip(services, ports[5:CLUSTER_PORTS], strict=True)
    return {
        "yarn.resourcemanager.hostname": LOOPBACK,
        **{f"yarn.resourcemanager.{service}": f"{LOOPBACK}:{port}" for service, port in addresses},
        "yarn.scheduler.minimum-allocation-mb": "128",
        "yarn.scheduler.maximum-allocation-mb": str(capacity.container_memory_mb or capacity.node_memory_mb),
        "yarn.scheduler.maximum-allocation-vcores": str(capacity.node_cores),
        "yarn.resourcemanager.scheduler.monitor.enable": "true",
        "yarn.resourcemanager.monitor.capacity.preemption.monitoring_interval": "500",
        "yarn.resourcemanager.monitor.capacity.preemption.max_wait_before_kill": "500",
        "yarn.resourcemanager.monitor.capacity.preemption.total_preemption_per_round": "1.0",
        "yarn.resourcemanager.monitor.capacity.preemption.natural_termination_factor": "1.0",
        "yarn.nodemanager.resource.memory-mb": str(capacity.node_memory_mb),
        "yarn.nodemanager.resource.cpu-vcores": str(capacity.node_cores),
        "yarn.nodemanager.resource.memory.enforced": "false",
        "yarn.nodemanager.vmem-check-enabled": "false",
        "yarn.nodemanager.container-monitor.interval-ms": "500",
        "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": "99",
        "yarn.nodemanager.sleep-delay-before-sigkill.ms": "250",
        "yarn.nodemanager.process-kill-wait.ms": "1000",
        "yarn.resourcemanager.nodemanagers.heartbeat-interval-ms": "250",
        "yarn.nm.liveness-monitor.expiry-interval-ms": "30000",
        "yarn.am.liveness-monitor.expiry-interval-ms": "240000",
    }


def container_environment(variables: Settings, *, forwarded: Iterable[str]) -> dict[str, str]:
    """Settings that give every container ``variables``, and those of the NodeManager's own that are named in ``forwarded``.

    A PATH can't be forwarded: the shell that starts a container has put in a PATH of its own by then.
    """
    return {
        "yarn.nodemanager.admin-env": ",".join(f"{name}={value}" for name, value in variables.items()),
        "yarn.nodemanager.env-whitelist": ",".join([*forwarded, "LANG", "TZ"]),
    }


def node_settings(folder: Path, ports: Sequence[int]) -> dict[str, str]:
    """What one NodeManager has for itself: addresses, and folders for its containers' files and logs."""
    node, localizer, collector, web = (f"{LOOPBACK}:{port}" for port in ports)
    return {
        "yarn.nodemanager.hostname": LOOPBACK,
        "yarn.nodemanager.address": node,
        "yarn.nodemanager.localizer.address": localizer,
        "yarn.nodemanager.collector-service.address": collector,
        "yarn.nodemanager.webapp.address": web,
        "yarn.nodemanager.local-dirs": str(folder / "local"),
        "yarn.nodemanager.log-dirs": str(folder / "logs"),
    }


def write_conf_dir(folder: Path, *, hdfs: Settings, yarn: Settings, spark: Settings) -> None:
    """The files that Hadoop's clients and daemons look for in ``HADOOP_CONF_DIR``, and Spark's for ``SPARK_CONF_DIR``."""
    folder.mkdir(parents=True)
    core = {name: value for name, value in hdfs.items() if not name.startswith("dfs.")}
    write_settings(folder / "core-site.xml", core)
    write_settings(folder / "hdfs-site.xml", {name: value for name, value in hdfs.items() if name not in core})
    write_settings(folder / "yarn-site.xml", yarn)
    write_settings(folder / "capacity-scheduler.xml", _QUEUES)
    (folder / "spark-defaults.conf").write_text("".join(f"{name} {value}\n" for name, value in spark.items()))


def write_log_settings(file: Path, log: Path) -> None:
    """Loggers' settings under which the daemons log to ``log``."""
    file.write_text(_LOG_SETTINGS.format(file=log))


def write_settings(file: Path, settings: Settings) -> None:
    """One of Hadoop's XML files."""
    lines = (
        f"  <property><name>{escape(name)}</name><value>{escape(value)}</value></property>\n"
        for name, value in settings.items()
    )
    file.write_text(f'<?xml version="1.0"?>\n<configuration>\n{"".join(lines)}</configuration>\n')
