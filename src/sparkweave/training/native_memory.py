"""A worker's own limit on its memory: what is too much ends in an error that says so, before the container is killed for it.

The limit is RLIMIT_DATA, which since Linux 4.7 counts all private writable memory: the C library's heap, torch's and numpy's buffers,
threads' stacks. RLIMIT_AS would count mapped files too: torch's libraries alone are gigabytes of addresses. Only the soft limit is
set, and put back, because Spark uses its Python workers again.

What allocators raise is not one exception. Tried with torch 2.15 and numpy 2.4: `RuntimeError` from torch's CPU allocator ("can't
allocate memory") and from oneDNN ("could not create a primitive"), `MemoryError` from numpy and Python, `RuntimeError` from a
thread that finds no stack.
"""

from __future__ import annotations

import contextlib
import re
import resource
from collections.abc import Iterator
from pathlib import Path

from sparkweave.errors import ResourceError

_STATUS = Path("/proc/self/status")
_REFUSED = re.compile(
    r"can't allocate memory|not enough memory|bad_alloc|Cannot allocate memory|can't start new thread", re.IGNORECASE
)
_REFUSED_UNDER_LIMIT = re.compile(r"could not (?:create|execute) a primitive", re.IGNORECASE)
_MIB = 1 << 20
REMEDY = (
    "lower --batch-size, or raise --native-memory and with it the executors' memory overhead; "
    "`sparkweave plan` reckons both"
)


@contextlib.contextmanager
def native_memory(limit: int | None, *, mapped: int, batch_size: int) -> Iterator[None]:
    """Lets this process take at most ``limit`` bytes while the context lasts.

    Args:
        limit: Of all that the process has resident; None sets no limit.
        mapped: Bytes of mapped files that will become resident: they are the shard's, and part of the limit.
        batch_size: Of the run, for the error.

    Raises:
        ResourceError: instead of whatever is raised when memory is refused, with the limit or without.
    """
    before = resource.getrlimit(resource.RLIMIT_DATA)
    try:
        if limit is not None:
            _limit(limit, mapped, before)
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_refusal(error, limited=limit is not None):
            raise
        used = memory_in_use()
        resource.setrlimit(resource.RLIMIT_DATA, before)
        raise ResourceError(_explanation(limit, used, batch_size, error)) from error
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def memory_in_use() -> int:
    """Resident bytes of this process."""
    return _status("VmRSS")


def _limit(limit: int, mapped: int, before: tuple[int, int]) -> None:
    used = memory_in_use()
    left = limit - used - mapped
    if left <= 0:
        raise ResourceError(
            f"--native-memory is {_mib(limit)}, and this worker has {_mib(used)} in use before its first step"
            f"{f', with {_mib(mapped)} of mapped images to come' if mapped else ''}: raise --native-memory and with it the "
            "executors' memory overhead; `sparkweave plan` reckons both"
        )
    soft, hard = _status("VmData") + left, before[1]
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _is_refusal(error: BaseException | None, *, limited: bool) -> bool:
    """Whether memory was refused, here or in what led here."""
    while error is not None:
        if isinstance(error, MemoryError) or _REFUSED.search(str(error)):
            return True
        if limited and _REFUSED_UNDER_LIMIT.search(str(error)):
            return True
        error = error.__cause__
    return False


def _explanation(limit: int | None, used: int, batch_size: int, error: BaseException) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    rule = "this machine refuses more" if limit is None else f"--native-memory allows {_mib(limit)}"
    remedy = (
        REMEDY
        if limit is not None
        else "lower --batch-size, or give the executors more memory overhead; `sparkweave plan` reckons it"
    )
    return (
        f"out of memory: {rule}, {_mib(used)} are in use, and the next allocation is too much "
        f"with batches of {batch_size} images ({said[:200]}): {remedy}"
    )


def _status(field: str) -> int:
    words = next(line.split() for line in _STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(words[1]) << 10


def _mib(size: int) -> str:
    return f"{size / _MIB:,.0f} MiB"
