"""What a process can tell of its machine: memory and its limits, cores, the processor, folders. Linux's files, standard library only."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_ROOT = Path("/")
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


def process_memory(root: Path = _ROOT) -> tuple[int, int]:
    """Resident bytes and bytes of addresses of this process."""
    fields = _fields(root / "proc/self/status")
    return fields.get("VmRSS", 0), fields.get("VmSize", 0)


def address_limit() -> int | None:
    """Most bytes of addresses that this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft


def memory_limit(root: Path = _ROOT) -> int | None:
    """The least limit of the control groups (version 1 or 2) that this process is in."""
    limits = [limit for folder in _groups(root) if (limit := _number(folder, "max", "limit_in_bytes")) is not None]
    least = min(limits, default=None)
    return least if least is not None and least < _fields(root / "proc/meminfo").get("MemTotal", 1 << 62) else None


def available_memory(root: Path = _ROOT) -> int:
    """Bytes that the machine, and each control group of this process, still has."""
    left = [_fields(root / "proc/meminfo").get("MemAvailable", 0)]
    for folder in _groups(root):
        limit = _number(folder, "max", "limit_in_bytes")
        used = _number(folder, "current", "usage_in_bytes")
        if limit is not None and used is not None:
            left.append(max(limit - used, 0) + _cached(folder))
    return min(left)


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor(root: Path = _ROOT) -> tuple[str, bool]:
    """The CPU's model, and whether it computes in bfloat16 itself."""
    text = _text(root / "proc/cpuinfo")
    lines = dict(
        reversed(
            [(name.strip(), value.strip()) for name, _, value in (row.partition(":") for row in text.splitlines())]
        )
    )
    flags = set((lines.get("flags") or lines.get("Features") or "").split())
    return lines.get("model name") or lines.get("CPU part") or "unknown", bool(flags & _BFLOAT16_FLAGS)


def look_at_folder(path: str) -> dict[str, Any]:
    """The fields of `sparkweave.deploy.doctor.facts.Folder`; a file is written there, and removed."""
    try:
        with tempfile.TemporaryFile(prefix="sparkweave-doctor-", dir=path) as file:
            file.write(b"\0")
            file.flush()
        return {"path": path, "free": shutil.disk_usage(path).free, "error": None}
    except OSError as error:
        return {"path": path, "free": None, "error": error.strerror or str(error)}


def _groups(root: Path) -> Iterator[Path]:
    """The folders of the memory controller of this process's control groups, up to the topmost."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        folder = top / path.lstrip("/")
        if not folder.is_dir():  # within a container its own group is at the top
            folder = top
        yield from (above for above in (folder, *folder.parents) if above == top or top in above.parents)


def _number(folder: Path, *names: str) -> int | None:
    """The number in the first of these files of the memory controller; ``max`` and no file are None."""
    for name in names:
        with contextlib.suppress(OSError, ValueError):
            return int((folder / f"memory.{name}").read_text())
    return None


def _cached(folder: Path) -> int:
    """Bytes of files in memory: counted as used, given back when needed."""
    for line in _text(folder / "memory.stat").splitlines():
        if line.startswith(("inactive_file ", "total_inactive_file ")):
            return int(line.split()[1])
    return 0


def _fields(path: Path) -> dict[str, int]:
    """The lines ``Name: 12 kB`` of a file of /proc, in bytes."""
    words = [line.split() for line in _text(path).splitlines()]
    return {word[0].rstrip(":"): int(word[1]) << 10 for word in words if len(word) == 3 and word[2] == "kB"}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
