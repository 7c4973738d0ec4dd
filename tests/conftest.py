"""Fixtures of all tests. Tests in `tests/unit` run without Spark."""

from __future__ import annotations

import os

from hypothesis import settings

# Before torch is imported anywhere: two busy thread pools on a small machine cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test asserts a time: a loaded machine is no failure.
settings.register_profile("sparkweave", deadline=None)
settings.load_profile("sparkweave")
