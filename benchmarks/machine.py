"""The machine that figures belong to."""

from __future__ import annotations

import datetime as dt
import os
import platform
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("sparkweave", "torch", "pyspark", "numpy", "opencv-python-headless", "pillow")


def describe_machine() -> str:
    """One line: processor, cores, versions, load and date."""
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    date = dt.datetime.now(dt.UTC).date().isoformat()
    load = os.getloadavg()[0]
    busy = " (BUSY: figures are worth little)" if load > 0.7 else ""
    return (
        f"{_processor()}, {len(os.sched_getaffinity(0))} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {versions}, load {load:.1f} before{busy}, {date}"
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    fields = dict(line.replace("\t", "").split(":", 1) for line in lines if ":" in line)
    name = fields.get("model name", platform.processor()).strip()
    widest = next((flag for flag in ("avx512f", "avx2", "avx") if flag in fields.get("flags", "").split()), "no AVX")
    return f"{name} (family {fields.get('cpu family', '?').strip()}, {widest})"
