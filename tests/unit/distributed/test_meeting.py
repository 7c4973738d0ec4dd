"""The workers of one machine wait for each other."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from tests.unit.gangs import results, run_processes

from sparkweave.distributed import meeting as module
from sparkweave.distributed.meeting import Meeting, meet
from sparkweave.distributed.torch_collective import TorchCollective


def attend(collective: TorchCollective, work: Callable[[Meeting], Any], timeout_seconds: float = 20.0) -> Any:
    meeting = meet(collective.rank, collective.world_size, timeout_seconds)
    assert meeting is not None
    try:
        return work(meeting)
    finally:
        meeting.close()


def come_one_after_the_other(collective: TorchCollective) -> Any:
    def work(meeting: Meeting) -> list[tuple[float, float]]:
        times = []
        for late in range(collective.world_size):
            time.sleep(0.1 if collective.rank == late else 0.0)
            came = time.monotonic()
            meeting.wait()
            times.append((came, time.monotonic()))
        return times

    return attend(collective, work)


def stay_away(collective: TorchCollective) -> Any:
    def work(meeting: Meeting) -> None:
        if collective.rank == 0:
            meeting.wait()
        collective.all_gather_bytes(b"")

    return attend(collective, work, timeout_seconds=0.2)


def leave(collective: TorchCollective) -> Any:
    return attend(collective, lambda meeting: collective.rank or meeting.wait())


def meet_apart(collective: TorchCollective) -> tuple[bool, int]:
    with mock.patch.object(module, "this_place", return_value=1 + collective.rank):
        return meets(collective)


def meet_where_one_has_no_proc(collective: TorchCollective) -> tuple[bool, int]:
    return meets(collective, "open" if collective.rank == 1 else None)


def meet_where_one_has_no_pipe(collective: TorchCollective) -> tuple[bool, int]:
    return meets(collective, "pipe" if collective.rank == 1 else None)


def meet_a_stranger(collective: TorchCollective) -> tuple[bool, int]:
    """The number of a process that has other files open: this one's own."""
    with mock.patch.object(os, "getpid", return_value=os.getppid()):
        return meets(collective)


def meets(collective: TorchCollective, failing: str | None = None) -> tuple[bool, int]:
    """Whether there is a meeting, and how many pipes are left when it is closed."""
    before = pipes()
    failure = mock.patch.object(os, failing, side_effect=OSError("none left")) if failing else contextlib.nullcontext()
    with failure:
        meeting = meet(collective.rank, collective.world_size, 1.0)
    if meeting is not None:
        meeting.wait()
        meeting.close()
    return meeting is not None, len(pipes() - before)


def pipes() -> set[str]:
    opened = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the folder's own is closed by now
            opened.add(os.readlink(entry))
    return {target for target in opened if target.startswith("pipe:")}


@pytest.mark.parametrize("world_size", [2, 3])
def test_nobody_goes_on_before_all_have_come(world_size: int) -> None:
    for round_times in zip(*results(run_processes(world_size, come_one_after_the_other)), strict=True):
        assert max(came for came, _ in round_times) <= min(went_on for _, went_on in round_times)


def test_a_silent_peer_is_waited_for_no_longer_than_asked() -> None:
    waiting, _ = run_processes(2, stay_away)
    assert isinstance(waiting, TimeoutError)
    assert "rank 1" in str(waiting)


def test_a_peer_that_leaves_is_noticed() -> None:
    waiting, left = run_processes(2, leave)
    assert isinstance(waiting, ConnectionError)
    assert left == 1


def test_a_meeting_leaves_nothing() -> None:
    assert run_processes(2, meets) == [(True, 0)] * 2


@pytest.mark.parametrize("work", [meet_apart, meet_where_one_has_no_proc, meet_where_one_has_no_pipe, meet_a_stranger])
def test_where_one_can_not_come_nobody_meets(work: Callable[[TorchCollective], tuple[bool, int]]) -> None:
    assert run_processes(2, work) == [(False, 0)] * 2
