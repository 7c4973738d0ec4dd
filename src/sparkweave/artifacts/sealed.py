"""Named blobs written as one folder, or one ``.zip``, such that a reader sees all of the old or all of the new.

A save to ``model`` stages everything beside it, in ``.model.<token>.new``, forces it to the disk, and renames:

===========================================  =====================  ==================================
step                                         a crash leaves         a load finds
===========================================  =====================  ==================================
write ``.new``                               ``model``, ``.new``    the old one
rename ``model`` to ``.model.<token>.old``   ``.old``, ``.new``     the old one, in ``.old``
rename ``.new`` to ``model``                 ``model``, ``.old``    the new one
rename ``.old`` to ``.new``, remove it       ``model``, ``.new``    the new one
===========================================  =====================  ==================================

So an ``.old`` is always whole and a ``.new`` is always waste; the next save to the same path puts an ``.old`` back
where the path is empty and removes the rest. A ZIP is one file, which a rename replaces in one step, without an
``.old``. Of two saves to one path at the same time one wins, whole; the other may fail.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping

from sparkweave.artifacts import manifest, zipped
from sparkweave.artifacts.storage import LOCAL, LocalStorage
from sparkweave.errors import ArtifactError

MAX_BYTES = 16 << 30
"""Longest artifact that is read, in bytes."""

_LEFTOVER = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{16}\.(?P<state>new|old)", re.DOTALL)


def write_sealed(
    url: str, blobs: Mapping[str, bytes], *, kind: str, overwrite: bool = False, storage: LocalStorage = LOCAL
) -> None:
    """Writes ``blobs`` at ``url``; on return they are on the disk, on an error what was there before still is.

    Args:
        url: The folder, or the file if it ends in ``.zip``. Folders above it are made.
        blobs: Content by file name.
        kind: What it is (``model``, ``checkpoint``).
        overwrite: Whether an artifact that is already there is replaced. Anything else is never replaced.
        storage: Where it is written.

    Raises:
        ArtifactError: if something is in the way, or the disk refuses (full, not permitted).
    """
    path = storage.resolve(url)
    files = {name: blobs[name] for name in sorted(blobs)}
    files[manifest.MANIFEST] = manifest.seal(kind, files)
    with _explained(url, "was not saved", "what was there before is as it was; free space, or choose another path"):
        storage.make_folder(os.path.dirname(path))
        repair(path, storage=storage)
        check_target(url, overwrite=overwrite, storage=storage)
        with _staging(path, storage) as staging:
            _stage(files, staging, path, storage)
            check_target(url, overwrite=overwrite, storage=storage)
            _move_in(staging, path, storage)


def read_sealed(url: str, *, kind: str, max_bytes: int = MAX_BYTES, storage: LocalStorage = LOCAL) -> dict[str, bytes]:
    """The blobs at ``url``, each checked against the manifest.

    Args:
        url: The folder or the ZIP.
        kind: What it must be.
        max_bytes: Longest content that is read.
        storage: Where it is.

    Raises:
        ArtifactError: if there is none, or it is not exactly what was written.
    """
    path = _found(storage.resolve(url), storage)
    if path is None:
        raise ArtifactError(f"{url}: no {kind} is here; check the path")
    with _explained(url, "can't be read", "check its permissions and the disk"):
        if storage.kind(path) == "folder":
            return _read_folder(path, kind, max_bytes, storage)
        return _read_zip(path, kind, max_bytes, storage)


def check_target(url: str, *, overwrite: bool = False, storage: LocalStorage = LOCAL) -> None:
    """Tells before the work whether something at ``url`` would be in the way of a save.

    Raises:
        ArtifactError: if there is something and ``overwrite`` is false, or it is no artifact.
    """
    path = _found(storage.resolve(url), storage)
    if path is None:
        return
    if not overwrite:
        raise ArtifactError(f"{url} already exists; choose another path, or replace it (--overwrite)")
    with _explained(url, "can't be replaced", "choose another path"):
        if not is_sealed(path, storage=storage):
            raise ArtifactError("what is here was not written by sparkweave, and is not replaced; choose another path")


def is_sealed(path: str, *, storage: LocalStorage = LOCAL) -> bool:
    """Whether what is at ``path`` looks like an artifact, whole or not, of the form that the path's ending asks for.

    Raises:
        OSError: if the disk refuses.
    """
    if path.endswith(zipped.ENDING):
        return storage.kind(path) == "file" and zipped.has_seal(storage.tail(path, zipped.SEAL_LENGTH))
    return storage.kind(path) == "folder" and manifest.MANIFEST in storage.list(path)


def repair(path: str, *, storage: LocalStorage = LOCAL) -> None:
    """Undoes what a crash left half done at ``path`` (as `LocalStorage.resolve` returns it); see the module's table.

    Raises:
        OSError: if the disk refuses.
    """
    folder = os.path.dirname(path)
    if storage.kind(path) is None and (aside := _found(path, storage)):
        storage.rename(aside, path)
        storage.sync_folder(folder)
    for _, leftover in _leftovers(path, storage):
        storage.remove(leftover)


def leftover_of(name: str) -> str | None:
    """The target's name if ``name`` is that of a leftover of a save, else None."""
    match = _LEFTOVER.fullmatch(name)
    return match["name"] if match else None


def _leftovers(path: str, storage: LocalStorage) -> list[tuple[str, str]]:
    folder, target = os.path.split(path)
    matches = ((name, _LEFTOVER.fullmatch(name)) for name in storage.list(folder))
    return [
        (match["state"], os.path.join(folder, name)) for name, match in matches if match and match["name"] == target
    ]


def _found(path: str, storage: LocalStorage) -> str | None:
    """Where the artifact of ``path`` is: there, or aside if a save was interrupted between its two renames."""
    if storage.kind(path) is not None:
        return path
    return next((leftover for state, leftover in _leftovers(path, storage) if state == "old"), None)


@contextlib.contextmanager
def _staging(path: str, storage: LocalStorage) -> Iterator[str]:
    folder, name = os.path.split(path)
    staging = os.path.join(folder, f".{name}.{secrets.token_hex(8)}.new")
    try:
        yield staging
    except BaseException:
        with contextlib.suppress(OSError):
            storage.remove(staging)
        raise


def _stage(files: Mapping[str, bytes], staging: str, path: str, storage: LocalStorage) -> None:
    if path.endswith(zipped.ENDING):
        storage.write(staging, zipped.pack(files))
        return
    storage.make_folder(staging)
    for name, content in files.items():
        storage.write(os.path.join(staging, name), content)
    storage.sync_folder(staging)


def _move_in(staging: str, path: str, storage: LocalStorage) -> None:
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
        # The new one is in place: what fails from here on is waste for the next save to remove.
        with contextlib.suppress(OSError):
            storage.rename(aside, staging)
            storage.remove(staging)


def _read_folder(path: str, kind: str, max_bytes: int, storage: LocalStorage) -> dict[str, bytes]:
    names = storage.list(path)
    if manifest.MANIFEST not in names:
        raise ArtifactError(f"it has no {manifest.MANIFEST}, so it is no {kind}, or not a whole one")
    sealed = storage.read(os.path.join(path, manifest.MANIFEST), limit=manifest.MAX_BYTES)
    files = manifest.parse(kind, sealed)
    manifest.check_names(files, names)
    total = sum(file.length for file in files.values())
    if total > max_bytes:
        raise ArtifactError(f"it has {total:,} bytes; the limit is {max_bytes:,}")
    blobs = {name: storage.read(os.path.join(path, name), limit=file.length) for name, file in files.items()}
    manifest.check_content(files, blobs)
    return blobs


def _read_zip(path: str, kind: str, max_bytes: int, storage: LocalStorage) -> dict[str, bytes]:
    blobs = zipped.unpack(storage.read(path, limit=max_bytes))
    sealed = blobs.pop(manifest.MANIFEST, None)
    if sealed is None:
        raise ArtifactError(f"it has no {manifest.MANIFEST}, so it is no {kind}")
    files = manifest.parse(kind, sealed)
    manifest.check_names(files, blobs)
    manifest.check_content(files, blobs)
    return blobs


@contextlib.contextmanager
def _explained(url: str, what: str, remedy: str) -> Iterator[None]:
    """Names the artifact in each error, and makes the disk's errors the caller's."""
    try:
        yield
    except ArtifactError as error:
        if str(error).startswith(url):
            raise
        raise ArtifactError(f"{url}: {error}") from error
    except OSError as error:
        raise ArtifactError(f"{url} {what}: {error.strerror or error}; {remedy}") from error
