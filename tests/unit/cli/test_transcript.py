"""A driver in the cluster keeps what it prints."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.unit.cli.conftest import Outcome

from sparkweave.cli import transcript
from sparkweave.deploy.submission import CONSOLE_VARIABLE
from sparkweave.deploy.transcript import Transcript

URL = "hdfs:///runs/1/transcript.json"


def test_all_that_is_printed_is_kept_with_the_exit_code(
    run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, archive: str
) -> None:
    kept: list[bytes] = []
    monkeypatch.setenv(CONSOLE_VARIABLE, URL)
    monkeypatch.setattr(transcript, "_store_at", lambda url: kept.append if url == URL else None)
    outcome = run("evaluate", "model.zip", archive)
    found = Transcript.parse(kept[-1])
    assert found.exit_code == outcome.code == 0
    assert "".join(text + "\n" for stream, text in found.lines if stream == "out") == outcome.out
    assert "".join(text + "\n" for stream, text in found.lines if stream == "err") == outcome.err


def test_where_it_can_not_be_kept_the_command_runs_all_the_same(
    run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, archive: str
) -> None:
    def refuse(_url: str) -> None:
        raise OSError("quota exceeded")

    monkeypatch.setenv(CONSOLE_VARIABLE, URL)
    monkeypatch.setattr(transcript, "_store_at", refuse)
    outcome = run("evaluate", "model.zip", archive)
    assert outcome.code == 0
    assert f"can't be kept at {URL}" in outcome.err
    assert "quota exceeded" in outcome.err
    assert "Accuracy" in outcome.out
