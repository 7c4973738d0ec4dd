"""What can be checked in a second, before Spark starts."""

from __future__ import annotations

from collections.abc import Iterable

from sparkweave.filesystem import filesystem_for


def check_inputs(*groups: Iterable[str]) -> None:
    """Looks for the archives that local paths, folders and globs stand for.

    Raises:
        DataError: if there is nothing at one of them.
    """
    for path in (path for group in groups for path in group):
        files = filesystem_for(path)
        if files is not None:
            files.expand(path)
