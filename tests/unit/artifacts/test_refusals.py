from __future__ import annotations

import errno

import pytest

from sparkweave.artifacts.refusals import Refusals, may_pass
from sparkweave.errors import ArtifactError


class Clock:
    """Tells the time that it was set to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def caused_by(cause: Exception) -> ArtifactError:
    """An ArtifactError two causes above ``cause``, as loading a model raises it."""
    inner = ArtifactError("m.zip can't be read")
    inner.__cause__ = cause
    outer = ArtifactError("registry: m.zip can't be read")
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error"),
        MemoryError(),
        caused_by(OSError(errno.EIO, "Input/output error")),
        caused_by(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate")),
    ],
    ids=repr,
)
def test_what_the_disk_or_the_memory_refused_may_pass(error: Exception) -> None:
    assert may_pass(error)


@pytest.mark.parametrize(
    "error", [ArtifactError("no ZIP"), ValueError("x"), caused_by(RuntimeError("shape"))], ids=repr
)
def test_what_is_wrong_with_the_content_does_not_pass(error: Exception) -> None:
    assert not may_pass(error)


def test_wrong_content_is_looked_at_again_only_when_it_changes() -> None:
    clock = Clock()
    refusals = Refusals[str](pause_seconds=2.0, clock=clock)
    assert refusals.is_due("2", b"a")
    assert refusals.add("2", b"a", ArtifactError("it was changed")) == "it was changed"
    clock.now += 1e9
    assert not refusals.is_due("2", b"a")
    assert refusals.is_due("2", b"b")
    assert refusals.is_due("3", b"a")


def test_what_may_pass_is_tried_again_after_pauses_that_double_to_a_minute() -> None:
    clock = Clock()
    refusals = Refusals[str](pause_seconds=2.0, clock=clock)
    pauses = []
    for _ in range(8):
        refusals.add("2", b"a", OSError(errno.EIO, "Input/output error"))
        began = clock.now
        while not refusals.is_due("2", b"a"):
            clock.now += 1
        pauses.append(clock.now - began)
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]
    assert refusals.is_due("2", b"b"), "a change is looked at at once"


def test_a_reason_is_said_once() -> None:
    refusals = Refusals[str](pause_seconds=2.0)
    error = OSError(errno.EIO, "Input/output error")
    assert refusals.add("2", b"a", error) == "OSError: [Errno 5] Input/output error (it is tried again)"
    assert refusals.add("2", b"a", error) is None
    assert refusals.add("2", b"a", ArtifactError("it was changed")) == "it was changed"
    assert refusals.reasons == {"2": "it was changed"}


def test_what_is_gone_or_used_is_forgotten() -> None:
    refusals = Refusals[str](pause_seconds=2.0)
    for name in "234":
        refusals.add(name, b"a", ValueError("x"))
    refusals.keep(["2", "3"])
    refusals.forget("2")
    refusals.forget("4")
    assert list(refusals.reasons) == ["3"]
