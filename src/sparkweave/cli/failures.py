"""From an exception to a message and an exit code.

What fails in a Spark task arrives as Spark's own exception with the worker's traceback as text; the error of `sparkweave.errors` at
its end is what the user has to know.
"""

from __future__ import annotations

import errno
import re

from sparkweave import errors
from sparkweave.errors import ArtifactError, ResourceError, SparkweaveError

_IN_TASK = re.compile(
    r"^(?:E\s+)?sparkweave\.errors\.(\w+): (.+?)(?=\n\s*at |\n\n|\n\s*Driver stacktrace|\Z)", re.MULTILINE | re.DOTALL
)
_MEMORY_HINT = "a task ran out of memory: use smaller batches or more memory for Spark (--conf spark.driver.memory=4g)"
_FULL = (errno.ENOSPC, errno.EDQUOT)


def explain(error: BaseException) -> tuple[str, int]:
    """The message to print for ``error``, and the exit code of the command."""
    if isinstance(error, SparkweaveError):
        return str(error), error.exit_code
    text = str(error)
    found = _IN_TASK.findall(text)
    if found:
        kind, message = found[-1]
        return " ".join(message.split()), getattr(errors, kind, SparkweaveError).exit_code
    if isinstance(error, OSError):
        code = ArtifactError.exit_code if error.errno in _FULL else SparkweaveError.exit_code
        return f"{error.filename or 'the disk'}: {error.strerror or error}", code
    if isinstance(error, MemoryError) or "OutOfMemoryError" in text:
        return _MEMORY_HINT, ResourceError.exit_code
    first = next((line for line in text.splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first or 'no message'} (--debug shows where)", SparkweaveError.exit_code
