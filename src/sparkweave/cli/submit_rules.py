"""Which options of `submit` go together: a setting has one value, and an option does something where it is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sparkweave.errors import ConfigError

_SETTINGS = {
    "master": "spark.master",
    "deploy_mode": "spark.submit.deployMode",
    "name": "spark.app.name",
    "num_executors": "spark.executor.instances",
    "executor_cores": "spark.executor.cores",
    "total_executor_cores": "spark.cores.max",
    "executor_memory": "spark.executor.memory",
    "executor_memory_overhead": "spark.executor.memoryOverhead",
    "driver_memory": "spark.driver.memory",
    "driver_memory_overhead": "spark.driver.memoryOverhead",
    "driver_cores": "spark.driver.cores",
    "queue": "spark.yarn.queue",
    "principal": "spark.kerberos.principal",
    "keytab": "spark.kerberos.keytab",
    "python": "spark.pyspark.python",
    "image": "spark.kubernetes.container.image",
}
"""What spark-submit makes of an option."""

_MASTERS = {"yarn": "yarn", "spark": "spark://", "k8s": "k8s://", "local": "local"}
_CLUSTERS = ("yarn", "spark", "k8s")
_CONTAINERS = ("yarn", "k8s")
_OF_MASTERS = {
    "num_executors": _CONTAINERS,
    "executor_cores": _CLUSTERS,
    "total_executor_cores": ("spark",),
    "executor_memory": _CLUSTERS,
    "executor_memory_overhead": _CONTAINERS,
    "driver_memory_overhead": _CONTAINERS,
    "driver_cores": _CONTAINERS,
    "queue": ("yarn",),
    "image": ("k8s",),
    "environment": ("yarn", "spark"),
    "requirements": ("yarn", "spark"),
    "modules": ("yarn", "spark", "local"),
    "upload": _CLUSTERS,
    "staging_dir": _CLUSTERS,
    "detach": ("yarn",),
}
"""The masters to which an option means something; what is not here means something to all."""

_OF_CLUSTER_MODE = ("driver_memory_overhead", "driver_cores", "detach")
_INSTEAD = {
    ("num_executors", "spark"): "say how many cores all of them have: --total-executor-cores",
    ("total_executor_cores", "yarn"): "say how many executors there are: --num-executors and --executor-cores",
    ("total_executor_cores", "k8s"): "say how many executors there are: --num-executors and --executor-cores",
    ("modules", "k8s"): "put your own modules into the image, as deploy/Dockerfile does with sparkweave",
    ("requirements", "k8s"): "put it into the image, see deploy/Dockerfile",
    ("environment", "k8s"): "put it into the image, see deploy/Dockerfile",
}


def given_settings(options: Mapping[str, Any]) -> dict[str, str]:
    """Spark's settings as options and ``--conf`` give them.

    Raises:
        ConfigError: if both give a setting, and not the same value: spark-submit lets the option win for some settings, ``--conf`` for others.
    """
    given = {setting: str(options[name]) for name, setting in _SETTINGS.items() if options[name] is not None}
    conf = dict(options["conf"])
    for name, setting in _SETTINGS.items():
        if setting in given and conf.get(setting, given[setting]) != given[setting]:
            raise ConfigError(
                f"{_spelled(name)} is {given[setting]}, and --conf {setting}={conf[setting]}: they are one setting, and"
                " have two values; give the option alone"
            )
    return {**conf, **given}


def check_use(options: Mapping[str, Any]) -> None:
    """Raises ConfigError if an option is given that does nothing on this master, in this deploy mode, or beside another."""
    master = next((kind for kind, start in _MASTERS.items() if options["master"].startswith(start)), None)
    if master is None:  # it is refused as such
        return
    _check_master(options, master)
    _check_mode(options)
    _check_others(options, master)


def _check_master(options: Mapping[str, Any], master: str) -> None:
    for name, masters in _OF_MASTERS.items():
        if options[name] and master not in masters:
            known = " and ".join(_MASTERS[kind] for kind in masters)
            instead = _INSTEAD.get((name, master), "leave it out")
            raise ConfigError(
                f"{_spelled(name)} is for the master {known}, and --master is {options['master']}; {instead}"
            )


def _check_mode(options: Mapping[str, Any]) -> None:
    for name in _OF_CLUSTER_MODE:
        if options[name] and options["deploy_mode"] != "cluster":
            raise ConfigError(
                f"{_spelled(name)} is for a driver in the cluster, and with --deploy-mode {options['deploy_mode']} it runs on this"
                " machine; leave it out, or use --deploy-mode cluster"
            )


def _check_others(options: Mapping[str, Any], master: str) -> None:
    for name in ("environment", "python"):
        if options["requirements"] and options[name]:
            raise ConfigError(
                f"--requirement adds to the Python that is packed, and with --{name} {options[name]} none is; leave one of them out:"
                " an environment has what `sparkweave pack --requirement` put into it"
            )
    if options["staging_dir"] and master != "yarn" and not options["upload"]:
        raise ConfigError(
            f"--staging-dir is where --upload brings archives to, and with --master {options['master']} nothing else is shipped"
            " to HDFS; leave it out, or add --upload"
        )


def _spelled(name: str) -> str:
    return f"--{name.replace('_', '-')}" if name not in ("modules", "requirements") else f"--{name.removesuffix('s')}"
