"""Predictions of a trained network: one path for Spark's batches and streams and for the online service."""

from __future__ import annotations
