"""Running a submission: with the driver here, or in the cluster, followed from here."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sparkweave.deploy.application import Application, read_report
from sparkweave.deploy.spark_home import spark_home
from sparkweave.deploy.submission import Submission
from sparkweave.deploy.transcript import Transcript
from sparkweave.errors import ArtifactError, ResourceError

LOG_SETTINGS = Path(__file__).with_name("log4j2.properties")
"""Of a spark-submit that follows an application: YARN's reports are what is read."""

_POLL_SECONDS = 2.0
_KILL_SECONDS = 60.0
_LAST_LINES = 15
_GONE = "KILLED"


class Launched:
    """A spark-submit that runs.

    Attributes:
        application: What is known of the application.
    """

    def __init__(self, submission: Submission, environment: Mapping[str, str]) -> None:
        """Starts it.

        Args:
            submission: What to run.
            environment: Variables for spark-submit, beside those of this process.
        """
        self.application = Application()
        self._follows = submission.is_followed
        self._process = subprocess.Popen(
            submission.command(),
            env={**os.environ, **environment},
            stderr=subprocess.STDOUT if self._follows else None,
            stdout=subprocess.PIPE if self._follows else None,
            text=True,
            errors="replace",
            start_new_session=self._follows,  # Ctrl-C is for this command to understand
        )
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)

    def lines(self) -> Iterator[str]:
        """What spark-submit logs, while `application` is kept up to date; nothing where it prints for itself."""
        for line in self._process.stdout or ():
            self.application = read_report(self.application, line)
            self._last_lines.append(line.rstrip())
            yield line.rstrip()

    def wait(self) -> int:
        """Its exit code."""
        return self._process.wait()

    def end(self) -> None:
        """Ends spark-submit; an application whose driver is in the cluster goes on."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_SECONDS)

    def reason(self) -> str:
        """Why there is no application: spark-submit's last words."""
        said = [line for line in self._last_lines if line and not line.lstrip().startswith("at ")]
        return "\n".join(said) or "it said nothing"


@dataclasses.dataclass(kw_only=True)
class Printed:
    """How much of a driver's transcript was shown here."""

    count: int = 0
    exit_code: int | None = None


def follow(
    launched: Launched,
    read: Callable[[], bytes | None],
    *,
    told: Callable[[str], None],
    show: Callable[[str, str], None],
    log: Callable[[str], None],
    detach: bool = False,
) -> Printed:
    """Shows an application's states and its driver's lines until it ends; returns what became of its driver.

    Args:
        launched: The spark-submit that waits for it.
        read: Gives the transcript as it is now.
        told: Takes a line about the application's state.
        show: Takes a stream and a text of the driver's.
        log: Takes spark-submit's own lines.
        detach: Come back once the application is accepted.
    """
    printed = Printed()
    ended = threading.Event()
    reader = threading.Thread(target=_print_now_and_then, args=(read, show, printed, ended), daemon=True)
    reader.start()
    try:
        state = ""
        for line in launched.lines():
            log(line)
            application = launched.application
            if application.state != state and application.id:
                state = application.state
                told(_about(application))
            if detach and state in ("ACCEPTED", "RUNNING"):
                break
        if not detach:
            launched.wait()
    finally:
        ended.set()
        reader.join()
    return printed


def kill_application(application: str, java: Path, environment: Mapping[str, str] = os.environ) -> None:
    """Ends an application, as ``yarn application -kill`` does.

    Raises:
        ResourceError: if YARN refuses, or can't be reached.
    """
    configuration = environment.get("YARN_CONF_DIR") or environment.get("HADOOP_CONF_DIR", "")
    class_path = os.pathsep.join([configuration, str(spark_home(environment) / "jars" / "*")])
    command = [str(java), "-cp", class_path, "org.apache.hadoop.yarn.client.cli.ApplicationCLI"]
    command += ["application", "-kill", application]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_KILL_SECONDS, check=False)
        said = [line for line in (result.stderr + result.stdout).splitlines() if line.strip()]
        failed = bool(result.returncode)
    except subprocess.TimeoutExpired:
        said, failed = [f"YARN did not answer in {_KILL_SECONDS:g} s"], True
    if failed:
        raise ResourceError(
            f"{application} could not be killed: {said[-1] if said else 'YARN said nothing'}; "
            f"try `yarn application -kill {application}`"
        )


def _about(application: Application) -> str:
    final = "" if application.final_status == "UNDEFINED" else f" ({application.final_status})"
    page = f": {application.tracking_url}" if application.tracking_url else ""
    return f"{application.id} is {application.state}{final}{page}"


def _print_now_and_then(
    read: Callable[[], bytes | None], show: Callable[[str, str], None], printed: Printed, ended: threading.Event
) -> None:
    last = False
    while not last:
        last = ended.wait(_POLL_SECONDS)
        with contextlib.suppress(
            ResourceError, ArtifactError
        ):  # HDFS may be busy; what is missed comes with the next look
            content = read()
            if content is not None:
                _print_new(Transcript.parse(content), show, printed)


def _print_new(transcript: Transcript, show: Callable[[str, str], None], printed: Printed) -> None:
    for stream, text in transcript.after(printed.count):
        show(stream, text)
    printed.count = transcript.first + len(transcript.lines)
    printed.exit_code = transcript.exit_code
