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


_CLUSTERS_DOING = re.compile(
    r"exited unrelated to the running tasks"  # Spark's own judgement
    r"|Executor decommission|worker lost: |was preempted|because of a YARN event"
    r"|[Ee]xit status: -10[0-7]\b"  # YARN's own ends: a lost node, a broken disk, pre-emption
    r"|BarrierJobSlotsNumberCheckFailed"  # the executor was gone before the job began
)


def is_clusters_doing(text: str) -> bool:
    """Whether a job failed, or an executor was lost, because the cluster took it: a lost node, pre-emption, decommissioning.

    Example:
        >>> is_clusters_doing("Container container_1_0001_01_000002 on host: node7 was preempted.")
        True
    """
    return _CLUSTERS_DOING.search(text) is not None


_SIZE = r"[\d.]+ [KMGT]?B"
_OVER_LIMIT = re.compile(
    rf"(?:exceeding (?P<limit>physical|virtual) memory limits|beyond the '(?P<monitor>PHYSICAL|VIRTUAL)' memory limit)"
    rf"(?:[^\n]*?(?P<used>{_SIZE}) of (?P<allowed>{_SIZE}) (?:physical|virtual) memory used)?",
)
_PLAN = (
    "the limit is spark.executor.memory + spark.executor.memoryOverhead, and Python workers with torch live in the overhead: "
    "raise it, or lower --batch-size; `sparkweave plan` says how far. With --native-memory a worker stops itself in time"
)
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
_HINTS = (
    (
        r"OOMKilled|[Ee]xit (?:status|code):? 137|SIGKILL",
        f"SIGKILL is how a container ends that passes its memory limit: {_PLAN}",
    ),
    (
        r"[Ee]xit (?:status|code)(?: is|:)? 143",
        f"SIGTERM is how YARN ends a container, for its memory or to give its place to another. If it was for its memory, {_PLAN}",
    ),
    (r"Python worker exited unexpectedly", f"if it was killed for its memory, {_PLAN}"),
)


_FRAME = re.compile(r"An error occurred while calling |.*Could not recover from a failed barrier ResultStage")
_CRASH = re.compile(
    r"Fatal Python error: (?P<what>[^\n]+)\n.*?^Current thread [^\n]*\n(?P<stack>(?: +File [^\n]+\n?){1,5})",
    re.DOTALL | re.MULTILINE,
)
_FAILED_TASK = re.compile(r"barrier task ResultTask\(\d+, (\d+)\) finished unsuccessfully")


def failed_rank(text: str) -> int | None:
    """Whose task's failure Spark gives as the reason."""
    found = _FAILED_TASK.search(text)
    return int(found[1]) if found else None


def describe(text: str) -> str:
    """A sentence or two about a failed job whose workers left no report: what happened, and what to change."""
    over = _OVER_LIMIT.search(text)
    if over:
        return _killed_for_memory(over)
    if crash := _CRASH.search(text):
        return f"its Python process crashed in native code: {crash['what']}\n{crash['stack'].rstrip()}"
    cause = next((sentence for pattern, sentence in _CAUSES if re.search(pattern, text)), "the Spark job failed")
    status = re.search(r"[Ee]xit (?:status|code)(?: is|:)? (\d+)", text)
    lines = [line.strip(" :") for line in text.splitlines() if line.strip(" :")]
    first = next((line for line in lines if not _FRAME.match(line)), lines[0] if lines else "")
    detail = f" (exit status {status[1]})" if status else ""
    hint = next((f". {hint}" for pattern, hint in _HINTS if re.search(pattern, text)), "")
    return f"{cause}{detail}: {first[:300]}{hint}"


def _killed_for_memory(over: re.Match[str]) -> str:
    kind = (over["limit"] or over["monitor"]).lower()
    use = f": {over['used']} of {over['allowed']} {kind} memory were in use" if over["used"] else ""
    if kind == "virtual":
        remedy = (
            "torch's libraries and mapped shards are many addresses that use no memory; "
            "have yarn.nodemanager.vmem-check-enabled set to false"
        )
    else:
        remedy = _PLAN
    return f"YARN killed a container for exceeding its {kind} memory limit{use}; {remedy}"


_NEEDED = "sparkweave|torch|pyarrow|numpy|pandas|cv2|safetensors|hdfs_native"
_OTHER_PYTHON = re.compile(
    r"Python in worker has different version:? \(?([\d.]+)\)? than that in driver:? \(?([\d.]+\d)"
)
_NO_MODULE = re.compile(rf"ModuleNotFoundError: No module named '({_NEEDED})(?:\.[\w.]+)?'")
_NO_PYTHON = re.compile(r'Cannot run program "([^"]+)"[^\n]*(?:error=2\b|No such file)')
_WHERE = re.compile(r"\(TID \d+\) \((\S+) executor (\S+?)\)|\(host ([\w.:-]+)\)")
_SAME_PYTHON = (
    "run the same environment everywhere: `sparkweave submit` ships this one, or point PYSPARK_PYTHON to one Python on all nodes; "
    "`sparkweave doctor` looks at every executor"
)


def unfit_executor(text: str) -> str | None:
    """If a job failed because an executor's Python is not as the driver's: a sentence about that, and what to do."""
    if other := _OTHER_PYTHON.search(text):
        problem = f"{_executor(text)} runs Python {other[1]}, and the driver {other[2]}"
    elif missing := _NO_MODULE.search(text):
        problem = f"{_executor(text)} has no {missing[1]} in its Python"
    elif python := _NO_PYTHON.search(text):
        problem = f"{_executor(text)} has no Python at {python[1]}"
    else:
        return None
    return f"{problem}; {_SAME_PYTHON}"


def _executor(text: str) -> str:
    """As far as it is told: of a Python worker's error, Spark 4.3 passes on no more than its own text."""
    where = _WHERE.search(text)
    if where is None:
        return "an executor"
    return f"an executor on {where[3]}" if where[3] else f"executor {where[2]} on {where[1]}"
