"""What YARN says of an application, as spark-submit prints it while it waits."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

_REPORT = re.compile(r"Application report for (application_\d+_\d+) \(state: (\w+)\)")
_SUBMITTED = re.compile(r"Submitted application (application_\d+_\d+)")
_DETAIL = re.compile(r"^\s+([A-Za-z ]+): (.*)$")
_DETAILS = (
    "client token",
    "diagnostics",
    "ApplicationMaster host",
    "ApplicationMaster RPC port",
    "queue",
    "start time",
    "final status",
    "tracking URL",
    "user",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Application:
    """One application of YARN's.

    Attributes:
        id: ``application_…``; empty before it is known.
        state: ``ACCEPTED``, ``RUNNING``, ``FINISHED`` …
        final_status: ``UNDEFINED`` until it has ended, then ``SUCCEEDED``, ``FAILED`` or ``KILLED``.
        tracking_url: Its page.
        diagnostics: What YARN has to say.
        reads_diagnostics: Whether the line before was of the diagnostics.
    """

    id: str = ""
    state: str = "NEW"
    final_status: str = "UNDEFINED"
    tracking_url: str = ""
    diagnostics: str = ""
    reads_diagnostics: bool = False


_FIELDS = {"diagnostics": "diagnostics", "final status": "final_status", "tracking URL": "tracking_url"}


def read_report(application: Application, line: str) -> Application:
    """The application after one more line of spark-submit's log."""
    if match := _SUBMITTED.search(line):
        return dataclasses.replace(application, id=match[1], state="SUBMITTED")
    if match := _REPORT.search(line):
        return dataclasses.replace(application, id=match[1], state=match[2])
    match = _DETAIL.match(line)
    if match is None or match[1] not in _DETAILS:
        return _with_more(application, line)
    changed: dict[str, Any] = {"reads_diagnostics": match[1] == "diagnostics"}
    if field := _FIELDS.get(match[1]):
        changed[field] = "" if match[2].strip() == "N/A" else match[2].strip()
    return dataclasses.replace(application, **changed)


def _with_more(application: Application, line: str) -> Application:
    """Diagnostics have several lines."""
    if not application.reads_diagnostics or not line.strip():
        return application
    return dataclasses.replace(application, diagnostics=f"{application.diagnostics}\n{line.strip()}")
