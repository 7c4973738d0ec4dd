"""Processes that stay and are given work, so that both sides of a comparison run in processes that are warm alike."""

from __future__ import annotations

import contextlib
import multiprocessing
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from sparkweave.testing.links import LinkedMachines


class Seat:
    """A process's place among its fellows.

    Attributes:
        rank: From 0.
        count: How many there are.
    """

    def __init__(self, rank: int, count: int, pipe: Connection) -> None:
        self.rank = rank
        self.count = count
        self._pipe = pipe

    def exchange(self, text: str) -> list[str]:
        """Hands over one string a process and returns all of them, as a rendezvous needs it."""
        self._pipe.send(("exchange", text))
        texts: list[str] = self._pipe.recv()
        return texts


class Workers:
    """So many processes, each on a machine of its own if there are ``machines``. Use it as a context manager."""

    def __init__(self, count: int, machines: LinkedMachines | None = None) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for rank in range(count):
            ours, theirs = context.Pipe()
            self._pipes.append(ours)
            self._processes.append(context.Process(target=_serve, args=(rank, count, theirs), daemon=True))
            with machines.starting(rank) if machines else contextlib.nullcontext():
                self._processes[-1].start()
            theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(5)
            process.kill()

    def run(self, function: Callable[..., Any], **arguments: Any) -> Sequence[Any]:
        """Calls ``function(seat, **arguments)`` in all processes at once and returns the results by rank."""
        for pipe in self._pipes:
            pipe.send((function, arguments))
        while True:
            messages = [pipe.recv() for pipe in self._pipes]
            failed = next((value for kind, value in messages if kind == "failed"), None)
            if failed is not None:
                raise RuntimeError(failed)
            values = [value for _, value in messages]
            if all(kind == "done" for kind, _ in messages):
                return values
            for pipe in self._pipes:
                pipe.send(values)


def _serve(rank: int, count: int, pipe: Connection) -> None:
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(("done", function(Seat(rank, count, pipe), **arguments)))
        except Exception:  # noqa: BLE001 - told to the parent, which raises it
            pipe.send(("failed", traceback.format_exc()))
