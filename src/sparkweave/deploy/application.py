"""What YARN says of an application, as spark-submit prints it while it waits."""

from __future__ import annotations

import dataclasses
import re

_REPORT = re.compile(r"Application report for (application_\d+_\d+) \(state: (\w+)\)")
_SUBMITTED = re.compile(r"Submitted application (application_\d+_\d+)")
_DETAIL = re.compile(r"^\s+(diagnostics|final status|tracking URL|queue): (.*)$")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Application:
    """One application of YARN's.

    Attributes:
        id: ``application_…``; empty before it is known.
        state: ``ACCEPTED``, ``RUNNING``, ``FINISHED`` …
        final_status: ``UNDEFINED`` until it has ended, then ``SUCCEEDED``, ``FAILED`` or ``KILLED``.
        tracking_url: Its page.
        diagnostics: What YARN has to say.
    """

    id: str = ""
    state: str = "NEW"
    final_status: str = "UNDEFINED"
    tracking_url: str = ""
    diagnostics: str = ""


_FIELDS = {"diagnostics": "diagnostics", "final status": "final_status", "tracking URL": "tracking_url"}


def read_report(application: Application, line: str) -> Application:
    """The application after one more line of spark-submit's log."""
    if match := _SUBMITTED.search(line):
        return dataclasses.replace(application, id=match[1], state="SUBMITTED")
    if match := _REPORT.search(line):
        return dataclasses.replace(application, id=match[1], state=match[2])
    if (match := _DETAIL.match(line)) and (field := _FIELDS.get(match[1])):
        value = "" if match[2].strip() == "N/A" else match[2].strip()
        return dataclasses.replace(application, **{field: value})
    return application
