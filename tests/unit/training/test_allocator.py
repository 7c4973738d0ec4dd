"""Freed memory is kept where the C library can be told so."""

from __future__ import annotations

import ctypes
import platform

import pytest

from sparkweave.training.allocator import keep_freed_memory


def test_glibc_takes_the_settings() -> None:
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("another C library than glibc")
    assert keep_freed_memory()


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not keep_freed_memory()
