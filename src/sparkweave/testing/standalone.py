"""Spark's own cluster manager on this machine: a master and workers, each a process of its own, on loopback. ::

    with StandaloneCluster(folder) as cluster:
        spark = build_session(cluster.master, cluster.spark_conf())
        ...
        cluster.kill_worker(0)
        cluster.start_worker()

Everything it writes is in its folder. Nothing of it runs on after the ``with`` block, or after the death of this process.
"""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

from sparkweave.errors import ResourceError
from sparkweave.spark.java import find_java, launch_environment
from sparkweave.testing.hadoop_jars import spark_home
from sparkweave.testing.java_process import QUICK_JVM, spark_options
from sparkweave.testing.ports import LOOPBACK, free_ports
from sparkweave.testing.process_group import ProcessGroup

_DEPLOY = "org.apache.spark.deploy"
_WAIT_SECONDS = 300.0
_POLL_SECONDS = 0.1


class StandaloneCluster:
    """A master and some workers, from `start` (or ``with``) to `stop`.

    Args:
        folder: Where logs and the applications' folders are kept.
        workers: How many workers to start with.
        cores: The cores of each: an executor of one core runs one task.
        memory_mb: The memory of each.

    Attributes:
        master: ``spark://127.0.0.1:PORT``.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, workers: int = 2, cores: int = 1, memory_mb: int = 1024
    ) -> None:
        self.folder = Path(folder).resolve()
        port, self._web_port = free_ports(2)
        self.master = f"spark://{LOOPBACK}:{port}"
        self._first_workers = workers
        self._size = ("--cores", str(cores), "--memory", f"{memory_mb}m")
        self._environment = _environment()
        self._processes: list[ProcessGroup] = []
        self._workers: dict[int, ProcessGroup] = {}
        self._next_worker = 0

    def start(self) -> None:
        """Starts all and returns when the master has its workers.

        Raises:
            ResourceError: if that takes too long; nothing runs on then.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        port = self.master.rpartition(":")[2]
        try:
            self._launch("master", "master.Master", "--port", port, "--webui-port", str(self._web_port))
            self._await_workers(0)
            for _ in range(self._first_workers):
                self._launch_worker()
            self._await_workers(self._first_workers)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends everything at once, executors included."""
        while self._processes:
            self._processes.pop().kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def spark_conf(self) -> dict[str, str]:
        """Spark's settings for a session here: loopback is the network."""
        return {
            "spark.executor.extraJavaOptions": spark_options(find_java()),
            "spark.driver.host": LOOPBACK,
            "spark.driver.bindAddress": LOOPBACK,
            "spark.decommission.enabled": "true",
        }

    def workers(self) -> list[dict[str, Any]]:
        """All workers that the master has seen, each with its ``id``, ``state`` (ALIVE, DEAD, DECOMMISSIONED) and ``coresused``."""
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self._web_port}/json/", timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["workers"]
        return found

    def alive_workers(self) -> int:
        """How many workers take executors."""
        return sum(worker["state"] == "ALIVE" for worker in self.workers())

    def start_worker(self) -> int:
        """Adds a worker and returns its number, once the master has it."""
        alive = self.alive_workers()
        number = self._launch_worker()
        self._await_workers(alive + 1)
        return number

    def newest_worker(self) -> int:
        """The number of the last started worker that was neither killed nor decommissioned."""
        return max(self._workers)

    def kill_worker(self, number: int) -> None:
        """Kills a worker and its executors, as when its machine is lost; returns when the master knows."""
        alive = self.alive_workers()
        self._workers.pop(number).kill()
        self._await_workers(alive - 1)

    def decommission_worker(self, number: int) -> None:
        """Tells a worker to leave, as before a planned shutdown: Spark gives its executors no more tasks, and ends them."""
        self._workers.pop(number).send(signal.SIGPWR)

    def logs(self) -> str:
        """What master, workers and executors have written so far, each file under a line with its name."""
        files = sorted([*self.folder.glob("*.log"), *self.folder.glob("work-*/app-*/*/std*")])
        return "\n".join(
            f"==> {file.relative_to(self.folder)} <==\n{file.read_text(errors='replace')}" for file in files
        )

    def _launch_worker(self) -> int:
        number, self._next_worker = self._next_worker, self._next_worker + 1
        work = ("--work-dir", str(self.folder / f"work-{number}"))
        web = ("--webui-port", str(free_ports(1)[0]))
        self._workers[number] = self._launch(f"worker-{number}", "worker.Worker", *self._size, *work, *web, self.master)
        return number

    def _launch(self, name: str, daemon: str, *arguments: str) -> ProcessGroup:
        command = [str(spark_home() / "bin" / "spark-class"), f"{_DEPLOY}.{daemon}", "--host", LOOPBACK, *arguments]
        process = ProcessGroup(command, environment=self._environment, output=self.folder / f"{name}.log")
        self._processes.append(process)
        return process

    def _await_workers(self, count: int) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                if self.alive_workers() == count:
                    return
            except (OSError, ValueError):  # the master, or its page, is not up yet
                pass
            if time.monotonic() > deadline:
                raise ResourceError(
                    f"the master did not have {count} workers after {_WAIT_SECONDS:.0f} s: {self.logs()[-2000:]}"
                )
            time.sleep(_POLL_SECONDS)


def _environment() -> dict[str, str]:
    java = find_java()
    return {
        **os.environ,
        **launch_environment(java),
        "SPARK_HOME": str(spark_home()),
        "SPARK_LOCAL_IP": LOOPBACK,
        "SPARK_LAUNCHER_OPTS": " ".join(QUICK_JVM),
        "SPARK_DAEMON_JAVA_OPTS": f"{spark_options(java)} -Dspark.decommission.enabled=true",
    }
