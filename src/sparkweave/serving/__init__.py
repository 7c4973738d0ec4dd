"""A trained model answering over HTTP: no Spark, one process, the same predictions as everywhere else."""

from __future__ import annotations
