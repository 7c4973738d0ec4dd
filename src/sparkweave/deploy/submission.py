"""The ``spark-submit`` command of a submission: pure, so that it can be printed, pasted and tested."""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys
from collections.abc import Mapping

from sparkweave.errors import ConfigError

ENVIRONMENT = "environment"
"""The folder into which a packed environment is unpacked, in each container."""

CODE = "code"
"""Likewise for one's own code, which comes before the environment in Python's path."""

CONSOLE_VARIABLE = "SPARKWEAVE_CONSOLE"
"""Where a driver in the cluster keeps what it prints, for `sparkweave submit` to print it too."""

TRANSCRIPT = "transcript.json"
"""The name of that file, in a folder of its own for each run."""

IMAGE_MAIN = "local:///opt/sparkweave/main.py"
"""The program within the container image of ``deploy/Dockerfile``."""

_MASTERS = re.compile(r"yarn|local(\[.+\])?|local-cluster\[.+\]|(spark|k8s)://.+")
SECRET_WORDS = ("secret", "password", "token", "access.key", "accesskey")
"""In the names of settings whose values must not be seen."""

_GANG = {
    "spark.dynamicAllocation.enabled": "false",
    "spark.scheduler.minRegisteredResourcesRatio": "1.0",
}
"""All workers start together; a barrier job that comes before all executors are there would wait for nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Submission:
    """One `sparkweave` command to be run by Spark.

    Attributes:
        program: The path of spark-submit.
        main: The program that Spark runs with ``arguments``.
        arguments: The command and its options, such as ``train`` and what follows.
        master: Spark's master: ``yarn``, ``spark://…``, ``k8s://…`` or ``local[…]``.
        deploy_mode: Where the driver runs: ``client`` (here) or ``cluster``.
        name: The application's name.
        environment: URL or path of a packed environment.
        code: URL or path of an archive of one's own code, see `sparkweave.deploy.code_archive`.
        python: The interpreter on the nodes, where they have one.
        jars: URL of an archive of Spark's jars, for a YARN cluster that has none.
        files: Local files that the driver in the cluster finds in its folder.
        image: The container image, on Kubernetes.
        options: Options of spark-submit by name, without dashes (``num-executors``).
        conf: Spark settings by name; they win over those made here.
        console: URL of the file in which a driver in the cluster keeps what it prints.

    Raises:
        ConfigError: if two of these contradict each other.
    """

    program: str
    main: str
    arguments: tuple[str, ...]
    master: str
    deploy_mode: str = "client"
    name: str = "sparkweave"
    environment: str | None = None
    code: str | None = None
    python: str | None = None
    jars: str | None = None
    files: tuple[str, ...] = ()
    image: str | None = None
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)
    conf: Mapping[str, str] = dataclasses.field(default_factory=dict)
    console: str | None = None

    def __post_init__(self) -> None:
        if not _MASTERS.fullmatch(self.master):
            raise ConfigError(
                f"master is {self.master!r}; give yarn, spark://HOST:PORT, k8s://https://HOST:PORT or local[N]"
            )
        if self.deploy_mode == "cluster" and not self.runs_driver_in_cluster:
            raise ConfigError(
                f"deploy mode cluster is for yarn and k8s://, and master is {self.master!r}: Spark runs Python drivers"
                " of its own cluster manager on this machine only; use --deploy-mode client"
            )
        if self.conf.get("spark.dynamicAllocation.enabled", "false").lower() == "true":
            raise ConfigError(
                "spark.dynamicAllocation.enabled is true; all workers must run at the same time, which Spark doesn't"
                " offer with it: leave the setting out, and give --num-executors"
            )
        if secrets := [name for name in self.conf if any(word in name.lower() for word in SECRET_WORDS)]:
            raise ConfigError(
                f"--conf {secrets[0]}: every user of this machine could read it in the list of processes;"
                " put it into spark-defaults.conf"
            )
        if self.environment and self.python:
            raise ConfigError(
                "both an environment and a Python of the nodes are given; one of them is used, choose which"
            )

    @property
    def runs_driver_in_cluster(self) -> bool:
        """Whether the driver is not on this machine."""
        return self.deploy_mode == "cluster" and self.master.startswith(("yarn", "k8s://"))

    @property
    def is_followed(self) -> bool:
        """Whether YARN's reports and the driver's transcript are what can be seen of it here."""
        return self.runs_driver_in_cluster and self.master == "yarn"

    def command(self) -> list[str]:
        """The whole command."""
        made = [self.program, "--master", self.master, "--deploy-mode", self.deploy_mode, "--name", self.name]
        for name, value in self.options.items():
            made += [f"--{name}", value]
        archives = {ENVIRONMENT: self.environment, CODE: self.code}
        if any(archives.values()):
            made += ["--archives", ",".join(f"{url}#{folder}" for folder, url in archives.items() if url)]
        if self.files:
            made += ["--files", ",".join(self.files)]
        for name, value in sorted(self.settings().items()):
            made += ["--conf", f"{name}={value}"]
        return [*made, self.main, *self.arguments]

    def settings(self) -> dict[str, str]:
        """Spark's settings, the given ones among them."""
        made = {**_GANG, **self._python_settings()}
        if self.master == "yarn":
            # A second driver would begin anew; --resume goes on.
            made |= {"spark.yarn.maxAppAttempts": "1", "spark.yarn.report.interval": "1s"}
            if self.jars:
                made["spark.yarn.archive"] = self.jars
        if self.image:
            made["spark.kubernetes.container.image"] = self.image
        if self.console and self.is_followed:
            made[f"spark.yarn.appMasterEnv.{CONSOLE_VARIABLE}"] = self.console
        return {**made, **self.conf}

    def _python_settings(self) -> dict[str, str]:
        python = f"./{ENVIRONMENT}/bin/python" if self.environment else self.python
        if python is None:
            return {}
        made = {"spark.pyspark.python": python}
        if not self.runs_driver_in_cluster:
            made["spark.pyspark.driver.python"] = sys.executable
        if self.code:
            made["spark.executorEnv.PYTHONPATH"] = CODE
            if self.runs_driver_in_cluster:
                made["spark.yarn.appMasterEnv.PYTHONPATH"] = CODE
        return made


def pasteable(command: list[str], environment: Mapping[str, str]) -> str:
    r"""The command as a person types it in a shell, an option a line.

    >>> print(pasteable(["spark-submit", "--name", "my run", "main.py", "train"], {"A": "b"}))
    A=b \
    spark-submit \
      --name 'my run' \
      main.py train
    """
    lines = [*(f"{name}={shlex.quote(value)}" for name, value in environment.items()), shlex.quote(command[0])]
    rest = command[1:]
    while rest and rest[0].startswith("--"):
        lines.append(f"  {rest[0]} {shlex.quote(rest[1])}")
        rest = rest[2:]
    return " \\\n".join([*lines, "  " + shlex.join(rest)])
