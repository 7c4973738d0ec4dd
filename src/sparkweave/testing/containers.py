"""The processes that YARN's NodeManagers started, found through the files that they keep of them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
from pathlib import Path

from sparkweave.testing.process_group import processes

LOCAL = "local"
LOGS = "logs"
_KILL_SECONDS = 20.0
_POLL_SECONDS = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class Container:
    """A container that runs.

    Attributes:
        name: Its id in YARN; ``…_000001`` is the application master.
        application: The id of its application.
        node: The index of its NodeManager.
        pid: The process that leads its session: a shell, with Spark's Java below it.
    """

    name: str
    application: str
    node: int
    pid: int

    @property
    def is_application_master(self) -> bool:
        """Whether it is the first container of its application's attempt."""
        return self.name.endswith("_000001")

    def kill(self) -> None:
        """SIGKILL to all its processes, as when the machine runs out of memory."""
        os.killpg(self.pid, signal.SIGKILL)


def node_folder(folder: Path, index: int) -> Path:
    """Where a NodeManager keeps its files, in the folder of its cluster."""
    return folder / f"node-{index}"


def running_containers(folder: Path) -> list[Container]:
    """The containers of all nodes that run now, by name."""
    found = []
    for file in folder.glob(f"node-*/{LOCAL}/nmPrivate/application_*/container_*/container_*.pid"):
        with contextlib.suppress(OSError, ValueError):  # it ended while we looked
            pid = int(file.read_text())
            os.killpg(pid, 0)
            node = int(file.relative_to(folder).parts[0].removeprefix("node-"))
            found.append(Container(name=file.stem, application=file.parts[-3], node=node, pid=pid))
    return sorted(found, key=lambda container: container.name)


def application_logs(folder: Path, application: str) -> str:
    """What an application's containers have written so far, each file under a line with its name."""
    files = sorted(folder.glob(f"node-*/{LOGS}/{application}/container_*/*"))
    texts = ((file.relative_to(folder), file.read_text(errors="replace")) for file in files if file.is_file())
    return "\n".join(f"==> {name} <==\n{text}" for name, text in texts if text.strip())


def kill_containers(folder: Path) -> None:
    """SIGKILL to all processes of all containers; returns when they are gone."""
    deadline = time.monotonic() + _KILL_SECONDS
    while (pids := container_processes(folder)) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def container_processes(folder: Path) -> list[int]:
    """The processes that containers are made of: they work below their NodeManager's folder."""
    return [pid for pid in processes() if _works_in(pid, folder)]


def _works_in(pid: int, folder: Path) -> bool:
    try:
        place = Path(os.readlink(f"/proc/{pid}/cwd")).relative_to(folder)
    except (OSError, ValueError):
        return False
    return len(place.parts) > 1 and place.parts[1] == LOCAL
