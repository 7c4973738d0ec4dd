from __future__ import annotations

import errno

import pytest

from sparkweave.cli.failures import explain
from sparkweave.errors import ArchiveError

IN_A_TASK = """Job aborted due to stage failure: Task 0 in stage 1.0 failed 1 times, most recent failure: Lost task 0.0:
pyspark.errors.exceptions.base.PythonException: Traceback (most recent call last):
  File "worker.py", line 1, in main
    process()
sparkweave.errors.ImageError: a.zip!/9_1.png: not a PNG or JPEG

\tat org.apache.spark.api.python.BasePythonRunner
Driver stacktrace:
"""


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        (ArchiveError("a.zip is empty"), "a.zip is empty", 3),
        (RuntimeError(IN_A_TASK), "a.zip!/9_1.png: not a PNG or JPEG", 3),
        (OSError(errno.ENOSPC, "No space left on device", "/x/m"), "/x/m: No space left on device", 6),
        (OSError(errno.EACCES, "Permission denied", "/x/m"), "/x/m: Permission denied", 1),
        (RuntimeError("java.lang.OutOfMemoryError: Java heap space"), "a task ran out of memory", 4),
        (MemoryError(), "a task ran out of memory", 4),
        (RuntimeError(""), "RuntimeError: no message (--debug shows where)", 1),
        (RuntimeError("first\nsecond"), "RuntimeError: first (--debug shows where)", 1),
    ],
)
def test_explain(error: Exception, message: str, code: int) -> None:
    text, exit_code = explain(error)
    assert text.startswith(message)
    assert exit_code == code
