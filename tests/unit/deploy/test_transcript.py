"""What a driver in the cluster prints, kept in a file."""

from __future__ import annotations

import pytest

from sparkweave.deploy import transcript as module
from sparkweave.deploy.transcript import Transcript, TranscriptWriter
from sparkweave.errors import ArtifactError


class Store:
    """A file that can refuse to be written."""

    def __init__(self) -> None:
        self.content: list[bytes] = []
        self.refuses = False

    def __call__(self, content: bytes) -> None:
        if self.refuses:
            raise OSError("full")
        self.content.append(content)

    def last(self) -> Transcript:
        return Transcript.parse(self.content[-1])


def test_what_was_printed_is_there_at_the_end_with_the_exit_code() -> None:
    store = Store()
    writer = TranscriptWriter(store)
    writer.add("err", "epoch 1")
    writer.add("out", "Accuracy\n0.9")
    writer.close(5)
    assert store.last() == Transcript(first=0, lines=(("err", "epoch 1"), ("out", "Accuracy\n0.9")), exit_code=5)


def test_lines_appear_while_the_command_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.01)
    store = Store()
    writer = TranscriptWriter(store)
    writer.add("err", "first")
    while not store.content:
        pass
    assert store.last() == Transcript(first=0, lines=(("err", "first"),), exit_code=None)
    writer.close(0)


def test_a_refused_write_loses_nothing() -> None:
    store = Store()
    writer = TranscriptWriter(store)
    store.refuses = True
    writer.add("err", "first")
    writer._write(None)
    store.refuses = False
    writer.close(0)
    assert store.last().lines == (("err", "first"),)


def test_only_the_newest_lines_are_kept_and_counted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT_LINES", 3)
    store = Store()
    writer = TranscriptWriter(store)
    for number in range(5):
        writer.add("err", str(number))
    writer.close(0)
    kept = store.last()
    assert (kept.first, [text for _, text in kept.lines]) == (2, ["2", "3", "4"])
    assert [text for _, text in kept.after(4)] == ["4"]
    assert [text for _, text in kept.after(0)] == ["2", "3", "4"]
    assert kept.after(5) == ()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"first": 0}', b'{"first": 0, "lines": [1], "exit_code": null}', b"\xff"]
)
def test_something_else_is_not_taken_for_a_transcript(content: bytes) -> None:
    with pytest.raises(ArtifactError, match="damaged"):
        Transcript.parse(content)
