"""A command with all the processes it starts, which end together: with `kill`, or with the process that started it, however it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

# The shell waits for the end of its standard input, which our end brings about, and kills its group, itself included.
_KEEPER = '"$@" >>"$0" 2>&1 & echo $!; read -r _; kill -9 0'

_POLL_SECONDS = 0.02


class ProcessGroup:
    """Starts ``command``.

    Args:
        command: The program and its arguments.
        environment: Its whole environment.
        output: The file to which all it prints is added.

    Attributes:
        pid: The process of the command itself.
    """

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], output: Path) -> None:
        output.touch()
        self._keeper = subprocess.Popen(
            ["sh", "-c", _KEEPER, str(output), *command],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._keeper.stdout is not None
        self.pid = int(self._keeper.stdout.readline())

    def kill(self) -> None:
        """SIGKILL to all of them, as when a machine is lost; returns when they are gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._keeper.pid, signal.SIGKILL)
        self._keeper.communicate()
        while any(_group(pid) == self._keeper.pid for pid in processes()):
            time.sleep(_POLL_SECONDS)

    def send(self, number: signal.Signals) -> None:
        """A signal to the command itself."""
        os.kill(self.pid, number)


def processes() -> Iterator[int]:
    """The processes of this machine."""
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())


def _group(pid: int) -> int | None:
    """The group of a process that lives; None for one that has ended, whether or not its parent has asked about it.

    A process whose first thread has ended holds its ports as long as it has others.
    """
    try:
        state, _parent, group = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:3]
        threads = len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return None
    return None if state in "ZX" and threads < 2 else int(group)
