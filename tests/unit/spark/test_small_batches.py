"""The bound on what goes to Python at once, set while gangs run, and put back."""

from __future__ import annotations

import pytest

from sparkweave.spark import jobs
from sparkweave.spark.jobs import small_batches

BYTES, ROWS = "spark.sql.execution.arrow.maxBytesPerBatch", "spark.sql.execution.arrow.maxRecordsPerBatch"


class Session:
    """Stands for a session: its settings."""

    def __init__(self, **settings: str) -> None:
        self.settings = dict(settings)
        self.conf = self

    def get(self, name: str, default: str | None = "") -> str | None:
        return self.settings.get(name, default)

    def set(self, name: str, value: str) -> None:
        self.settings[name] = value


@pytest.fixture(autouse=True)
def running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "has_ended", lambda _: False)


@pytest.mark.parametrize(
    ("before", "inside"),
    [({BYTES: "999999999", ROWS: "10000"}, {BYTES: str(16 << 20), ROWS: "10000"}), ({ROWS: "10000"}, {ROWS: "1"})],
)
def test_sessions_that_overlap_get_back_what_they_had(before: dict[str, str], inside: dict[str, str]) -> None:
    first, second = (Session(**before) for _ in range(2))
    one, other, again = (small_batches(session) for session in (first, second, first))
    one.__enter__()
    other.__enter__()
    again.__enter__()
    assert first.settings == second.settings == inside
    one.__exit__(None, None, None)
    assert first.settings == inside
    other.__exit__(None, None, None)
    assert second.settings == before
    again.__exit__(None, None, None)
    assert first.settings == before
