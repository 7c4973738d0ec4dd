from __future__ import annotations

import gc
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from sparkweave.spark import python_worker

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def nothing_frozen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(python_worker, "_modules", 0)
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_outside_of_a_task_nothing_is_frozen() -> None:
    python_worker.freeze_imports()
    assert gc.get_freeze_count() == 0


def test_a_task_freezes_what_is_imported_once_for_each_new_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyspark.TaskContext.get", object)
    python_worker.freeze_imports()
    assert gc.get_freeze_count() > 1000
    gc.unfreeze()
    python_worker.freeze_imports()
    assert gc.get_freeze_count() == 0
    monkeypatch.setitem(sys.modules, "imported_by_a_later_task", ModuleType("imported_by_a_later_task"))
    python_worker.freeze_imports()
    assert gc.get_freeze_count() > 1000
