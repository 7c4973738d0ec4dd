"""Spark's Python workers: what is imported in one stays, so its garbage collector need not look at it again.

Spark collects garbage after every task. With torch imported that means a walk over 250,000 objects, 0.1 s to 0.3 s on two cores,
which is longer than many a task.
"""

from __future__ import annotations

import gc

_frozen = False


def freeze_imports() -> None:
    """To be called in a task once all that it needs is imported; does nothing outside of Spark, and nothing the second time."""
    global _frozen
    from pyspark import TaskContext

    if not _frozen and TaskContext.get() is not None:
        _frozen = True
        gc.collect()
        gc.freeze()
