"""A thin front of the trainer for users of `pyspark.ml`: estimators, models, and their columns."""

from __future__ import annotations
