"""Machines that this one stands in for: network namespaces behind a switch, whose links have a rate and a delay. ::

    with LinkedMachines(2, Link(megabits=100, round_trip_ms=20)) as machines:
        with machines.starting(0):
            process.start()  # of multiprocessing's context "spawn"

A process that is started there has a network, process numbers, System V IPC and a host name of its own, as in a container; so no
two of them count as processes of one machine, and what they say to each other takes the links. Files are common to all. The kernel
gives the links their rate (tc), and `sparkweave.testing.wire` their delay, for which more kernels have no netem than have one.

It takes Linux, the right to make namespaces (root's, or that of ``unshare --user --map-root-user``) and the commands of iproute2 and
util-linux. Namespaces have no names: they end with the ``with`` block, or after the death of this process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from multiprocessing import resource_tracker, spawn
from pathlib import Path
from types import TracebackType
from typing import Self

from sparkweave.errors import ConfigError, ResourceError
from sparkweave.testing import wire

SWITCH = "198.18.0.254"
"""The switch's own address: where all links lead to. The network is one of those kept for benchmarks, RFC 2544."""

_ADDRESS = "198.18.0.{}/24"
_MOST = 200
_LINK = re.compile(r"(\d+)mbit(?:,(\d+)ms)?")
_LEAST_BURST_BYTES = 8 << 10
_BURST_SECONDS = 0.0005
_QUEUE_MS = 100
_MACHINE = "unshare --pid --fork --kill-child --mount-proc --ipc --uts"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Link:
    """Between a machine and the switch, in each direction.

    Attributes:
        megabits: A second.
        round_trip_ms: Between two machines, beside what the rate takes.

    Raises:
        ConfigError: if the rate isn't positive or the delay negative.
    """

    megabits: float
    round_trip_ms: float = 0.0

    def __post_init__(self) -> None:
        if not self.megabits > 0 or self.round_trip_ms < 0:
            raise ConfigError(f"{self} has no positive rate, or a negative delay; give such as 100mbit,20ms")

    @classmethod
    def parse(cls, text: str) -> Link:
        """From such as ``100mbit`` or ``100mbit,20ms``.

        Raises:
            ConfigError: if it is neither.
        """
        found = _LINK.fullmatch(text)
        if found is None:
            raise ConfigError(f"{text!r} is no link; give a rate and, if you like, a round trip, such as 100mbit,20ms")
        return cls(megabits=float(found[1]), round_trip_ms=float(found[2] or 0))

    def __str__(self) -> str:
        return f"{self.megabits:g}mbit" + (f",{self.round_trip_ms:g}ms" if self.round_trip_ms else "")


class LinkedMachines:
    """So many machines, numbered from 0, each with a link of its own to one switch. Use it as a context manager.

    Args:
        count: How many machines.
        link: What each link is like; None leaves them as fast as the kernel makes them.

    Raises:
        ConfigError: if there are too many of them.
        ResourceError: on entering, if this host can't have them; it says why.

    Attributes:
        keepers: The processes that keep the namespaces of the switch and of each machine.
    """

    def __init__(self, count: int, link: Link | None = None) -> None:
        if not 0 < count <= _MOST:
            raise ConfigError(f"count is {count}; it must be from 1 to {_MOST}")
        self._count = count
        self._link = link
        self._kept = contextlib.ExitStack()
        self._starters: list[Path] = []
        self.keepers: list[int] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sparkweave-machines-")))
            switch = self._namespace(stack)
            switch.run("ip", "link", "add", "bridge", "type", "bridge")
            switch.run("ip", "address", "add", f"{SWITCH}/24", "dev", "bridge")
            switch.run("ip", "link", "set", "bridge", "up")
            for number in range(self._count):
                machine = self._namespace(stack)
                self._connect(stack, number, machine, switch)
                self._starters.append(_starter(folder / str(number), machine))
            self._kept = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kept.close()

    @contextlib.contextmanager
    def starting(self, number: int) -> Iterator[None]:
        """Processes that `multiprocessing` spawns inside are started on machine ``number``. One thread at a time."""
        resource_tracker.ensure_running()  # or it would be started there
        before = spawn.get_executable()
        multiprocessing.set_executable(str(self._starters[number]))
        try:
            yield
        finally:
            multiprocessing.set_executable(before)

    def _namespace(self, stack: contextlib.ExitStack) -> _Namespace:
        namespace = stack.enter_context(_Namespace())
        self.keepers.append(namespace.pid)
        return namespace

    def _connect(self, stack: contextlib.ExitStack, number: int, machine: _Namespace, switch: _Namespace) -> None:
        port = f"port{number}"
        switch.run("ip", "link", "add", port, "type", "veth", "peer", "name", "uplink", "netns", str(machine.pid))
        machine.run("ip", "address", "add", _ADDRESS.format(number + 1), "dev", "uplink")
        machine.run("ip", "link", "set", "lo", "up")
        if self._link is not None:
            # A packet takes both ends' rates, as through a switch that stores and forwards.
            machine.run("tc", "qdisc", "add", "dev", "uplink", "root", *discipline(self._link.megabits))
            switch.run("tc", "qdisc", "add", "dev", port, "root", *discipline(self._link.megabits))
        machine.run("ip", "link", "set", "uplink", "up")
        switch.run("ip", "link", "set", port, "up")
        if self._link is not None and self._link.round_trip_ms:
            port = _lengthened(stack, switch, port, self._link.round_trip_ms / 2000)
        switch.run("ip", "link", "set", port, "master", "bridge")


def _lengthened(stack: contextlib.ExitStack, switch: _Namespace, port: str, seconds: float) -> str:
    """Another port of the switch, where what comes in at ``port`` comes in later."""
    near, far = f"{port}-near", f"{port}-far"
    switch.run("ip", "link", "add", near, "type", "veth", "peer", "name", far)
    switch.run("ip", "link", "set", near, "up")
    switch.run("ip", "link", "set", far, "up")
    stack.enter_context(switch.running(sys.executable, "-m", wire.__name__, port, near, str(seconds)))
    return far


def why_impossible(link: Link | None = None) -> str | None:
    """Why this host can't have machines with such links; None if it can."""
    try:
        with LinkedMachines(1, link):
            return None
    except ResourceError as error:
        return str(error)


def discipline(megabits: float) -> list[str]:
    """What tc is told of a sender that is so fast."""
    # A long burst would let a short message through at no cost.
    burst = max(_LEAST_BURST_BYTES, int(megabits * 1e6 / 8 * _BURST_SECONDS))
    return ["tbf", "rate", f"{megabits:g}mbit", "burst", str(burst), "latency", f"{_QUEUE_MS}ms"]


class _Namespace:
    """A network namespace, kept by a process that waits for the end of its input."""

    def __enter__(self) -> Self:
        try:
            self._keeper = subprocess.Popen(
                ["unshare", "--net", "sh", "-c", "echo; exec cat"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        except OSError as error:
            raise ResourceError(f"no network namespaces: {error}; install util-linux (unshare, nsenter)") from error
        assert self._keeper.stdout is not None
        if not self._keeper.stdout.readline():
            reason = self._keeper.communicate()[1].strip()
            raise ResourceError(
                f"no network namespaces: {reason}; run it as root, or below `unshare --user --map-root-user`"
            )
        self.pid = self._keeper.pid
        self.enter = ["nsenter", f"--net=/proc/{self.pid}/ns/net"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keeper.communicate()

    @contextlib.contextmanager
    def running(self, *command: str) -> Iterator[None]:
        """Keeps ``command`` running there: a process that says a line when it is ready, and ends with its standard input.

        Raises:
            ResourceError: if it ends before.
        """
        pipe = subprocess.PIPE
        with subprocess.Popen([*self.enter, *command], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                if not process.stdout.readline():
                    raise ResourceError(f"{shlex.join(command)!r} failed: {process.communicate()[1].strip()[-500:]}")
                yield
            finally:
                process.stdin.close()

    def run(self, *command: str) -> None:
        """Raises ResourceError if ``command`` fails in the namespace."""
        ended = subprocess.run([*self.enter, *command], capture_output=True, text=True, check=False)
        if ended.returncode:
            raise ResourceError(
                f"{shlex.join(command)!r} failed in a network namespace: {ended.stderr.strip()}; it takes iproute2, the right to "
                "administer networks, and a kernel with veth, bridge and that queueing discipline"
            )


def _starter(path: Path, machine: _Namespace) -> Path:
    """A Python whose process is on ``machine``."""
    path.write_text(f'#!/bin/sh\nexec {shlex.join(machine.enter)} {_MACHINE} {shlex.quote(sys.executable)} "$@"\n')
    path.chmod(0o700)
    return path
