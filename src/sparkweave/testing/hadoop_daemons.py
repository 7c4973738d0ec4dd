"""Hadoop's daemons as objects in one JVM: NameNode, DataNode, ResourceManager and NodeManagers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from py4j.protocol import Py4JJavaError

from sparkweave.errors import ResourceError
from sparkweave.testing.hadoop_settings import Settings
from sparkweave.testing.java_process import JavaProcess

_WAIT_SECONDS = 300.0
_POLL_SECONDS = 0.1
_HOOK_PRIORITY = 30


class HadoopDaemons:
    """The daemons in ``process``, whose class path begins with their configuration folder.

    Args:
        process: The JVM.
        nodes: Each NodeManager's own settings; with none there is no YARN.
    """

    def __init__(self, process: JavaProcess, nodes: Sequence[Settings]) -> None:
        self._hadoop = process.jvm.org.apache.hadoop
        self._no_arguments = process.strings([])
        self._resource_manager: Any = None
        self._node_managers: list[Any] = []
        self._hadoop.metrics2.lib.DefaultMetricsSystem.setMiniClusterMode(True)
        with ThreadPoolExecutor(2 + len(nodes)) as threads:
            hdfs = threads.submit(self._start_hdfs)
            if nodes:
                self._resource_manager = threads.submit(self._start_resource_manager).result()
                self._node_managers = list(threads.map(self._start_node_manager, nodes))
            self._namenode, self._datanode = hdfs.result()
        self._await(self._namenode.getNamesystem().getNumLiveDataNodes, 1, "DataNodes")
        self._await(self.active_nodes, len(nodes), "NodeManagers")
        self.file_system: Any = self._hadoop.fs.FileSystem.get(self._hadoop.conf.Configuration())

    def path(self, path: str) -> Any:
        """Hadoop's own kind of path."""
        return self._hadoop.fs.Path(path)

    def permission(self, mode: int) -> Any:
        """Hadoop's own kind of file mode."""
        return self._hadoop.fs.permission.FsPermission(f"{mode:o}")

    def active_nodes(self) -> int:
        """How many NodeManagers take containers."""
        return 0 if self._resource_manager is None else int(self._resource_manager.getRMContext().getRMNodes().size())

    def stop_node_manager(self, index: int) -> None:
        """Stops a NodeManager, and its containers with it; says so to the ResourceManager at once."""
        self._node_managers[index].stop()

    def _start_hdfs(self) -> tuple[Any, Any]:
        configuration = self._hadoop.hdfs.HdfsConfiguration
        server = self._hadoop.hdfs.server
        server.namenode.NameNode.format(configuration())
        namenode = server.namenode.NameNode.createNameNode(self._no_arguments, configuration())
        return namenode, server.datanode.DataNode.createDataNode(self._no_arguments, configuration())

    def _start_resource_manager(self) -> Any:
        manager = self._hadoop.yarn.server.resourcemanager.ResourceManager()
        manager.init(self._hadoop.yarn.conf.YarnConfiguration())
        manager.start()
        return manager

    def _start_node_manager(self, settings: Settings) -> Any:
        configuration = self._hadoop.yarn.conf.YarnConfiguration()
        for name, value in settings.items():
            configuration.set(name, value)
        manager = self._hadoop.yarn.server.nodemanager.NodeManager()
        hook = self._hadoop.service.CompositeService.CompositeServiceShutdownHook(manager)
        self._hadoop.util.ShutdownHookManager.get().addShutdownHook(hook, _HOOK_PRIORITY)
        manager.init(configuration)
        manager.start()
        return manager

    def _await(self, count: Callable[[], int], wanted: int, what: str) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while count() != wanted:
            if time.monotonic() > deadline:
                raise ResourceError(f"{count()} of {wanted} {what} were there after {_WAIT_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)


def describe(error: Py4JJavaError) -> str:
    """What Java threw, with its causes; has to be asked for while the JVM runs."""
    said, cause = [], error.java_exception
    while cause is not None:
        said.append(cause.toString())
        cause = cause.getCause()
    return "; caused by ".join(said)
