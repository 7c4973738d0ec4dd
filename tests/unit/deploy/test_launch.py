"""Running and following a spark-submit; a shell script plays it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sparkweave.deploy import launch as module
from sparkweave.deploy.launch import Launched, Printed, follow, kill_application
from sparkweave.deploy.submission import Submission
from sparkweave.errors import ResourceError

ID = "application_1_0001"
RUNS = f"""
echo 'INFO Client: Application report for {ID} (state: ACCEPTED)'
echo 'INFO Client: Application report for {ID} (state: RUNNING)'
printf '\\t tracking URL: http://host/{ID}\\n'
echo 'INFO Client: Application report for {ID} (state: FINISHED)'
printf '\\t final status: SUCCEEDED\\n'
"""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Launched]:
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.01)

    def start(script: str, deploy_mode: str = "cluster") -> Launched:
        program = tmp_path / "spark-submit"
        program.write_text(f"#!/bin/sh\n{script}")
        program.chmod(0o755)
        submission = Submission(
            program=str(program), main="main.py", arguments=("train",), master="yarn", deploy_mode=deploy_mode
        )
        return Launched(submission, {"OURS": "yes"})

    return start


class Terminal:
    """What a person sees."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.shown: list[tuple[str, str]] = []

    def follow(self, launched: Launched, *contents: bytes | None, detach: bool = False) -> Printed:
        waiting = list(contents)

        def read() -> bytes | None:
            return waiting.pop(0) if len(waiting) > 1 else waiting[0]

        return follow(
            launched,
            read,
            told=self.told.append,
            show=lambda stream, text: self.shown.append((stream, text)),
            log=lambda _line: None,
            detach=detach,
        )


def transcript(*lines: str, first: int = 0, exit_code: int | None = None) -> bytes:
    return json.dumps({"first": first, "lines": [["err", line] for line in lines], "exit_code": exit_code}).encode()


def test_states_are_told_once_with_the_page(start: Callable[..., Launched]) -> None:
    terminal = Terminal()
    launched = start(RUNS)
    terminal.follow(launched, None)
    assert terminal.told == [
        f"{ID} is ACCEPTED",
        f"{ID} is RUNNING",
        f"{ID} is FINISHED: http://host/{ID}",
    ]
    assert launched.application.final_status == "SUCCEEDED"
    assert launched.wait() == 0


def test_the_drivers_lines_are_shown_once_each_and_its_exit_code_is_known(start: Callable[..., Launched]) -> None:
    terminal = Terminal()
    contents = [None, transcript("a"), transcript("a"), transcript("a", "b"), transcript("a", "b", "c", exit_code=3)]
    printed = terminal.follow(start(f"{RUNS}\nsleep 0.3"), *contents)
    assert terminal.shown == [("err", "a"), ("err", "b"), ("err", "c")]
    assert printed == Printed(count=3, exit_code=3)


def test_lines_that_are_gone_already_are_passed_over(start: Callable[..., Launched]) -> None:
    terminal = Terminal()
    terminal.follow(start(f"{RUNS}\nsleep 0.3"), transcript("a"), transcript("x", "y", first=7, exit_code=0))
    assert [text for _, text in terminal.shown] == ["a", "x", "y"]


def test_detached_it_comes_back_while_the_application_runs(start: Callable[..., Launched]) -> None:
    launched = start(f"echo 'Application report for {ID} (state: ACCEPTED)'\nsleep 60")
    Terminal().follow(launched, None, detach=True)
    assert launched.application.id == ID
    launched.end()


def test_a_submission_that_fails_has_spark_submits_own_reason(start: Callable[..., Launched]) -> None:
    launched = start("echo 'Connecting'\necho 'Exception: no such queue: nine'\necho '\tat org.apache.Foo'\nexit 1")
    Terminal().follow(launched, None)
    assert launched.application.id == ""
    assert launched.wait() == 1
    assert launched.reason() == "Connecting\nException: no such queue: nine"


def test_a_driver_here_prints_for_itself(start: Callable[..., Launched], capfd: pytest.CaptureFixture[str]) -> None:
    launched = start('echo "hello, $OURS"\nexit 6', deploy_mode="client")
    assert list(launched.lines()) == []
    assert launched.wait() == 6
    assert capfd.readouterr().out == "hello, yes\n"


def test_ending_spark_submit_ends_it(start: Callable[..., Launched]) -> None:
    launched = start("exec sleep 60")
    launched.end()
    assert launched.wait() < 0
    launched.end()


def test_an_application_is_killed_by_yarns_own_client(tmp_path: Path) -> None:
    java = tmp_path / "java"
    java.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\n')
    java.chmod(0o755)
    kill_application(ID, java, {**os.environ, "HADOOP_CONF_DIR": "/etc/hadoop"})
    words = (tmp_path / "called").read_text().split()
    assert words[0] == "-cp"
    assert words[1].startswith("/etc/hadoop:")
    assert words[-3:] == ["application", "-kill", ID]


def test_a_kill_that_yarn_refuses_says_why(tmp_path: Path) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'Permission denied for me' >&2\nexit 255\n")
    java.chmod(0o755)
    with pytest.raises(
        ResourceError, match=r"could not be killed: Permission denied for me; try `yarn application -kill"
    ):
        kill_application(ID, java)
