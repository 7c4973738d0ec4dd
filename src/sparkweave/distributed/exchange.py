"""What carries the first words between workers."""

from __future__ import annotations

from collections.abc import Callable

Exchange = Callable[[str], list[str]]
"""Hands over one string a rank and returns all ranks' strings; every rank must call it."""
