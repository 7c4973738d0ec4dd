"""A command with all the processes it starts, which end together: with `kill`, or with the process that started it, however it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

# The shell waits for the end of its standard input, which our end brings about, and kills its group, itself included.
_KEEPER = '"$@" >>"$0" 2>&1 & echo $!; read -r _; kill -9 0'


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
        """SIGKILL to all of them, as when a machine is lost."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._keeper.pid, signal.SIGKILL)
        self._keeper.communicate()

    def send(self, number: signal.Signals) -> None:
        """A signal to the command itself."""
        os.kill(self.pid, number)
