"""YARN's reports, as spark-submit prints them."""

from __future__ import annotations

from sparkweave.deploy.application import Application, read_report

ID = "application_1795505284230_0003"
LOG = f"""\
INFO YarnClientImpl: Submitted application {ID}
INFO Client: Application report for {ID} (state: ACCEPTED)
INFO Client:
\t client token: N/A
\t diagnostics: AM container is launched, waiting for AM container to Register with RM
\t ApplicationMaster host: N/A
\t ApplicationMaster RPC port: -1
\t queue: default
\t start time: 1795505855520
\t final status: UNDEFINED
\t tracking URL: http://host:8088/proxy/{ID}/
\t user: me
INFO Client: Application report for {ID} (state: RUNNING)
INFO Client: Application report for {ID} (state: FAILED)
INFO Client:
\t client token: N/A
\t diagnostics: Application {ID} failed 1 times due to AM Container exited with exitCode: -104
Failing this attempt.Diagnostics: [Container is running beyond physical memory limits.

Killing container.
\t ApplicationMaster host: N/A
\t queue: default
\t final status: FAILED
\t tracking URL: http://host:8088/cluster/app/{ID}
\t user: me
ERROR Client: Application diagnostics message: and so on
"""


def states(log: str) -> list[Application]:
    application = Application()
    return [application := read_report(application, line) for line in log.splitlines()]


def test_an_application_is_followed_through_its_states() -> None:
    seen = list(dict.fromkeys(application.state for application in states(LOG)))
    assert seen == ["SUBMITTED", "ACCEPTED", "RUNNING", "FAILED"]
    assert {application.id for application in states(LOG)} == {ID}


def test_its_end_has_yarns_reason_in_full() -> None:
    end = states(LOG)[-1]
    assert end.final_status == "FAILED"
    assert end.tracking_url == f"http://host:8088/cluster/app/{ID}"
    assert end.diagnostics.splitlines() == [
        f"Application {ID} failed 1 times due to AM Container exited with exitCode: -104",
        "Failing this attempt.Diagnostics: [Container is running beyond physical memory limits.",
        "Killing container.",
    ]


def test_nothing_known_is_said_as_nothing() -> None:
    first = states(LOG)[11]
    assert (first.final_status, first.tracking_url) == ("UNDEFINED", f"http://host:8088/proxy/{ID}/")
    assert states("\t diagnostics: N/A")[-1].diagnostics == ""


def test_other_lines_change_nothing() -> None:
    assert states("INFO Client: Uploading resource file\n  what: ever\n")[-1] == Application()
