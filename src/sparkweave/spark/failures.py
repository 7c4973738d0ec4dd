"""A worker's failure, carried through Spark's own error text and found again in it on the driver.

Spark passes on an exception's text, buried in a traceback and a Java stack. So a worker's report is a line of JSON between
two marks. A victim of another's failure (its connection closed, its peer silent) waits a moment before it fails, so that
the cause reaches Spark first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re

_MARK = "sparkweave-worker-failure"
_REPORT = re.compile(rf"<{_MARK}>([^<]*)</{_MARK}>")


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkerFailure:
    """What a worker said when it failed.

    Attributes:
        rank: Which worker.
        host: Its machine.
        epoch: 0 before the first step.
        step: Within the epoch.
        kind: The exception's class.
        message: The exception's text.
        trace: Its traceback's last lines.
        is_victim: Whether it failed only because a peer did.
        is_final: Whether running the segment again would end the same way.
    """

    rank: int
    host: str
    epoch: int
    step: int
    kind: str
    message: str
    trace: str = ""
    is_victim: bool = False
    is_final: bool = False

    def encode(self) -> str:
        """As text that survives in a Java stack."""
        return f"<{_MARK}>{json.dumps(dataclasses.asdict(self)).replace('<', chr(92) + 'u003c')}</{_MARK}>"

    def __str__(self) -> str:
        where = f"in step {self.step} of epoch {self.epoch}" if self.step else "before its first step"
        return f"worker {self.rank} on {self.host} failed {where}: {self.kind}: {self.message}"


class WorkerFailed(Exception):
    """What a failing worker raises: its report is the text."""


def find_failures(text: str) -> list[WorkerFailure]:
    """The reports in an error's text, each once, victims last."""
    found: dict[WorkerFailure, None] = {}
    for match in _REPORT.findall(text):
        with contextlib.suppress(ValueError, TypeError):  # a user's text may look like a report
            found[WorkerFailure(**json.loads(match))] = None
    return sorted(found, key=lambda failure: failure.is_victim)


_CAUSES = (
    (
        r"ExecutorLostFailure|Lost executor|executor \d+ (?:exited|lost)|Lost task .* ExecutorLost",
        "an executor was lost",
    ),
    (
        r"Python worker exited unexpectedly|EOFException|crashed",
        "a Python worker died (killed, out of memory, or crashed)",
    ),
    (r"No space left on device", "a disk is full"),
)


def describe(text: str) -> str:
    """One sentence about a failed job whose workers left no report."""
    cause = next((sentence for pattern, sentence in _CAUSES if re.search(pattern, text)), "the Spark job failed")
    status = re.search(r"[Ee]xit (?:status|code):? (\d+)", text)
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    detail = f" (exit status {status[1]})" if status else ""
    return f"{cause}{detail}: {first[:300]}"
