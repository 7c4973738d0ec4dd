"""Which options of `submit` go together: a setting has one value."""

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
                f"--{name.replace('_', '-')} is {given[setting]}, and --conf {setting}={conf[setting]}: they are one setting, and"
                " have two values; give the option alone"
            )
    return {**conf, **given}
