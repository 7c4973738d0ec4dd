"""A real HDFS and YARN on this machine: Hadoop's daemons in one JVM, on loopback, ready in a quarter of a minute.

Its nodes have the ordinary programs and no Python, as the nodes of a cluster where nobody may install anything. Containers are
processes of their own, and are killed when they pass their memory limit. ::

    with HadoopCluster(folder) as cluster:
        cluster.put("digits.zip", "/data/digits.zip")
        subprocess.run([..., "--master", "yarn", cluster.uri("/data/digits.zip")], env={**os.environ, **cluster.environment()})

Everything it writes is in its folder. Nothing of it runs on after the ``with`` block, or after the death of this process.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from py4j.protocol import Py4JError, Py4JJavaError

from sparkweave.errors import ResourceError
from sparkweave.spark.java import find_java, launch_environment
from sparkweave.testing import containers
from sparkweave.testing.bare_path import make_bare_path
from sparkweave.testing.containers import Container, node_folder, running_containers
from sparkweave.testing.hadoop_daemons import HadoopDaemons, describe
from sparkweave.testing.hadoop_jars import daemon_class_path, spark_class_path, spark_home
from sparkweave.testing.hadoop_settings import (
    CLUSTER_PORTS,
    NODE_PORTS,
    Capacity,
    container_environment,
    hdfs_settings,
    node_settings,
    write_conf_dir,
    write_log_settings,
    yarn_settings,
)
from sparkweave.testing.java_process import QUICK_JVM, JavaProcess, spark_options
from sparkweave.testing.ports import LOOPBACK, free_ports
from sparkweave.testing.quick_modes import set_modes_quickly

_WEB_TIMEOUT_SECONDS = 30


class HadoopCluster:
    """HDFS with one DataNode and YARN with some NodeManagers, from `start` (or ``with``) to `stop`.

    Args:
        folder: Where everything is kept: data, settings, logs. Must not exist, or be empty.
        nodes: How many NodeManagers; 0 for HDFS alone, which starts in half the time.
        capacity: Memory and cores of the nodes, and how much of them one container may have.

    Attributes:
        conf_dir: The folder to name in ``HADOOP_CONF_DIR``; as ``SPARK_CONF_DIR`` it says what `spark_conf` does.
        fs_uri: ``hdfs://127.0.0.1:PORT``.
        log: What the daemons logged.
    """

    def __init__(self, folder: str | os.PathLike[str], *, nodes: int = 2, capacity: Capacity | None = None) -> None:
        self.folder = Path(folder).resolve()
        self.conf_dir = self.folder / "conf"
        self.log = self.folder / "hadoop.log"
        self._bin = self.folder / "bin"
        self._classes = self.folder / "classes"
        self._java = find_java()
        self._class_path = daemon_class_path(self._java)
        ports = free_ports(CLUSTER_PORTS + nodes * NODE_PORTS)
        self.ports = tuple(ports)
        self._hdfs = hdfs_settings(self.folder, ports)
        self._yarn = yarn_settings(ports, capacity or Capacity())
        self._yarn |= container_environment({"PATH": str(self._bin)}, forwarded=launch_environment(self._java))
        self._nodes = [
            node_settings(node_folder(self.folder, node), ports[CLUSTER_PORTS + node * NODE_PORTS :][:NODE_PORTS])
            for node in range(nodes)
        ]
        self.fs_uri = self._hdfs["fs.defaultFS"]
        self._opened = ExitStack()
        self._process: JavaProcess
        self._daemons: HadoopDaemons

    def start(self) -> None:
        """Starts all daemons and returns when they are ready.

        Raises:
            ResourceError: if one of them does not start; nothing runs on then.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "tmp").mkdir()
        self._classes.mkdir()
        write_conf_dir(self.conf_dir, hdfs=self._hdfs, yarn=self._yarn, spark=self.spark_conf())
        make_bare_path(self._bin)
        with ExitStack() as opened:
            opened.callback(containers.kill_containers, self.folder)
            self._process = opened.enter_context(self._launch())
            with self._explained():
                set_modes_quickly(self._process, self._classes)
                self._daemons = HadoopDaemons(self._process, self._nodes)
                self._make_folders()
            self._opened = opened.pop_all()

    def stop(self) -> None:
        """Ends the containers and the daemons."""
        self._opened.close()

    def is_running(self) -> bool:
        """Whether the daemons' JVM lives."""
        return self._process.is_running()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def uri(self, path: str) -> str:
        """The full URI of an absolute path in HDFS."""
        return f"{self.fs_uri}{path}"

    def environment(self) -> dict[str, str]:
        """The variables under which ``spark-submit`` and ``sparkweave`` find this cluster."""
        quick = " ".join(QUICK_JVM)
        return {
            "HADOOP_CONF_DIR": str(self.conf_dir),
            "YARN_CONF_DIR": str(self.conf_dir),
            "SPARK_LOCAL_IP": LOOPBACK,
            "SPARK_SUBMIT_OPTS": quick,
            "SPARK_LAUNCHER_OPTS": quick,
            **launch_environment(self._java),
        }

    def spark_conf(self) -> dict[str, str]:
        """Spark's settings for YARN where all machines are this one: Spark's jars are here, loopback is the network."""
        quick = spark_options(self._java)
        return {
            "spark.yarn.jars": f"local:{spark_home()}/jars/*",
            # The class archive fits where Spark's jars come first, before any folder.
            "spark.driver.extraClassPath": spark_class_path(),
            "spark.executor.extraClassPath": spark_class_path(),
            "spark.driver.extraJavaOptions": quick,
            "spark.yarn.appMasterEnv.SPARK_LOCAL_IP": LOOPBACK,
            "spark.executorEnv.SPARK_LOCAL_IP": LOOPBACK,
            "spark.yarn.am.extraJavaOptions": quick,
            "spark.executor.extraJavaOptions": quick,
            "spark.yarn.maxAppAttempts": "1",
            "spark.driver.host": LOOPBACK,
            "spark.driver.bindAddress": LOOPBACK,
            "spark.scheduler.minRegisteredResourcesRatio": "1.0",
            "spark.scheduler.barrier.maxConcurrentTasksCheck.interval": "1s",
            "spark.ui.enabled": "false",
        }

    def hadoop_settings(self) -> dict[str, str]:
        """What ``HADOOP_CONF_DIR`` says, as settings of a Spark session whose JVM runs already.

        Paths without a scheme stay on local disk, unless ``spark.hadoop.fs.defaultFS`` is set to `fs_uri`.
        """
        settings = {**self._hdfs, **self._yarn}
        return {f"spark.hadoop.{name}": value for name, value in settings.items() if name != "fs.defaultFS"}

    @property
    def web_address(self) -> str:
        """The ResourceManager's pages."""
        return f"http://{self._yarn['yarn.resourcemanager.webapp.address']}"

    @property
    def home(self) -> str:
        """The path of this user's folder in HDFS."""
        return str(self.file_system.getHomeDirectory().toUri().getPath())

    @property
    def file_system(self) -> Any:
        """Hadoop's own DistributedFileSystem, through py4j: whatever `put`, `get` and `names` don't do."""
        return self._daemons.file_system

    def path(self, path: str) -> Any:
        """A path as `file_system` wants it."""
        return self._daemons.path(path)

    def put(self, source: str | os.PathLike[str], target: str) -> None:
        """Copies a local file, or a folder with all in it, to a path in HDFS."""
        self.file_system.copyFromLocalFile(self._local(source), self._daemons.path(target))

    def get(self, source: str, target: str | os.PathLike[str]) -> None:
        """Copies a file or folder of HDFS to a local path."""
        without_checksums = (False, self._daemons.path(source), self._local(target), True)
        self.file_system.copyToLocalFile(*without_checksums)

    def names(self, folder: str) -> list[str]:
        """The names in a folder of HDFS, sorted."""
        return sorted(entry.getPath().getName() for entry in self.file_system.listStatus(self._daemons.path(folder)))

    def active_nodes(self) -> int:
        """How many NodeManagers take containers."""
        return self._daemons.active_nodes()

    def stop_node_manager(self, index: int) -> None:
        """Takes a node away, with the containers on it."""
        self._daemons.stop_node_manager(index)

    def containers(self) -> list[Container]:
        """The containers that run now."""
        return running_containers(self.folder)

    def kill_container(self, name: str) -> None:
        """SIGKILL to all processes of a container, as when its machine runs out of memory."""
        next(container for container in self.containers() if container.name == name).kill()

    def applications(self) -> list[dict[str, Any]]:
        """All applications as the ResourceManager knows them (``id``, ``state``, ``finalStatus``, ``diagnostics``), the newest last."""
        with urllib.request.urlopen(f"{self.web_address}/ws/v1/cluster/apps", timeout=_WEB_TIMEOUT_SECONDS) as answer:
            found: list[dict[str, Any]] = (json.load(answer)["apps"] or {}).get("app", [])
        return sorted(found, key=lambda application: str(application["id"]))

    def application_logs(self, application: str) -> str:
        """What the containers of an application have written, and what YARN says of it."""
        said = [entry["diagnostics"] for entry in self.applications() if entry["id"] == application]
        return "\n".join([*said, containers.application_logs(self.folder, application)])

    def _launch(self) -> JavaProcess:
        loggers = self.folder / "log4j2.properties"
        write_log_settings(loggers, self.log)
        return JavaProcess(
            self._java,
            class_path=[self.conf_dir, self._classes, *self._class_path],
            options=[f"-Dlog4j2.configurationFile={loggers}", f"-Djava.io.tmpdir={self.folder}/tmp"],
            environment={"PATH": str(self._bin), "HOME": str(Path.home()), **launch_environment(self._java)},
            output=self.folder / "output.log",
        )

    def _make_folders(self) -> None:
        for path, mode in (("/tmp", 0o1777), (self.home, 0o755)):
            self.file_system.mkdirs(self._daemons.path(path))
            self.file_system.setPermission(self._daemons.path(path), self._daemons.permission(mode))

    def _local(self, path: str | os.PathLike[str]) -> Any:
        return self._daemons.path(Path(path).resolve().as_uri())

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except Py4JJavaError as error:
            raise ResourceError(f"Hadoop's daemons did not start: {describe(error)}; {self.log} has more") from error
        except Py4JError as error:
            raise ResourceError(f"Hadoop's JVM ended: {error}; {self.log} has more") from error
