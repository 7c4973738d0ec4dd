"""Putting something new in a path's place, such that a reader sees all of the old or all of the new.

Something new for ``model`` is made beside it, in ``.model.<token>.new``, and then renamed:

===========================================  =====================  ==================================
step                                         a crash leaves         a reader finds
===========================================  =====================  ==================================
write ``.new``                               ``model``, ``.new``    the old one
rename ``model`` to ``.model.<token>.old``   ``.old``, ``.new``     the old one, in ``.old``
rename ``.new`` to ``model``                 ``model``, ``.old``    the new one
rename ``.old`` to ``.new``, remove it       ``model``, ``.new``    the new one
===========================================  =====================  ==================================

So an ``.old`` is always whole and a ``.new`` is always waste; `restore` puts an ``.old`` back where the path is empty, and
`repair` removes the rest too. A file is replaced by a rename in one step, without an ``.old``. Of two at the same time one wins, whole;
the other may fail.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Callable, Iterator

from sparkweave.artifacts.storage import Storage

_LEFTOVER = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{16}\.(?P<state>new|old)", re.DOTALL)


@contextlib.contextmanager
def replacing(path: str, storage: Storage, *, before_move: Callable[[], None] = lambda: None) -> Iterator[str]:
    """A path beside ``path`` to write to; what is there at the end of the context takes the place of ``path``.

    On an error it is removed, and ``path`` is as it was.

    Args:
        path: As `Storage.resolve` returns it; the folder above it must exist.
        storage: Where it is.
        before_move: Called once the new one is written; what it raises ends the replacement.

    Raises:
        OSError: if the file system refuses.
    """
    staging = _beside(path, "new")
    try:
        yield staging
        before_move()
        _move_in(staging, path, storage)
    except BaseException:
        with contextlib.suppress(OSError):
            storage.remove(staging)
        raise


def restore(path: str, storage: Storage) -> None:
    """Puts back what a crash left aside, where ``path`` is empty.

    Raises:
        OSError: if the file system refuses.
    """
    if storage.kind(path) is None and (aside := found(path, storage)):
        storage.rename(aside, path)
        storage.sync_folder(os.path.dirname(path))


def repair(path: str, storage: Storage) -> None:
    """Undoes what a crash left half done at ``path``: `restore`, and the waste removed.

    Raises:
        OSError: if the file system refuses.
    """
    restore(path, storage)
    for _, leftover in _leftovers(path, storage):
        # Renamed first: if somebody still writes there, that fails at once, instead of ending with half of the files.
        doomed = _beside(path, "new")
        with contextlib.suppress(FileNotFoundError):
            storage.rename(leftover, doomed)
        storage.remove(doomed)


def found(path: str, storage: Storage) -> str | None:
    """Where what belongs to ``path`` is: there, or aside if it was being replaced when that was interrupted."""
    if storage.kind(path) is not None:
        return path
    return next((leftover for state, leftover in _leftovers(path, storage) if state == "old"), None)


def leftover_of(name: str) -> str | None:
    """The target's name if ``name`` is that of a leftover, else None."""
    match = _LEFTOVER.fullmatch(name)
    return match["name"] if match else None


def _leftovers(path: str, storage: Storage) -> list[tuple[str, str]]:
    folder, target = os.path.split(path)
    matches = ((name, _LEFTOVER.fullmatch(name)) for name in storage.list(folder))
    return [
        (match["state"], os.path.join(folder, name)) for name, match in matches if match and match["name"] == target
    ]


def _beside(path: str, state: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{secrets.token_hex(8)}.{state}")


def _move_in(staging: str, path: str, storage: Storage) -> None:
    folder, aside = os.path.dirname(path), staging.removesuffix(".new") + ".old"
    swaps = storage.kind(path) == "folder"
    try:
        if swaps:
            storage.rename(path, aside)
            storage.sync_folder(folder)
        storage.rename(staging, path)
    except BaseException:
        if swaps:
            with contextlib.suppress(OSError):
                storage.rename(aside, path)
        raise
    storage.sync_folder(folder)
    if swaps:
        # The new one is in place: what fails from here on is waste for the next one to remove.
        with contextlib.suppress(OSError):
            storage.rename(aside, staging)
            storage.remove(staging)
