"""Named blobs written as one folder, or one ``.zip``, under a manifest of their checksums.

A save stages everything beside the target, forces it to the disk, and renames, see `sparkweave.artifacts.swap`: a load finds all
of the old or all of the new, whatever happened.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

from sparkweave.artifacts import manifest, swap, zipped
from sparkweave.artifacts.storage import LOCAL, Storage
from sparkweave.errors import ArtifactError

MAX_BYTES = 16 << 30
"""Longest artifact that is read, in bytes."""


def write_sealed(
    url: str, blobs: Mapping[str, bytes], *, kind: str, overwrite: bool = False, storage: Storage = LOCAL
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
        swap.repair(path, storage)

        def check() -> None:
            check_target(url, overwrite=overwrite, storage=storage)

        check()
        with swap.replacing(path, storage, before_move=check) as staging:
            _stage(files, staging, path, storage)


def read_sealed(url: str, *, kind: str, max_bytes: int = MAX_BYTES, storage: Storage = LOCAL) -> dict[str, bytes]:
    """The blobs at ``url``, each checked against the manifest.

    Args:
        url: The folder or the ZIP.
        kind: What it must be.
        max_bytes: Longest content that is read.
        storage: Where it is.

    Raises:
        ArtifactError: if there is none, or it is not exactly what was written.
    """
    with _explained(url, "can't be read", "check its permissions and the disk"):
        path = swap.found(storage.resolve(url), storage)
        if path is None:
            raise ArtifactError(f"{url}: no {kind} is here; check the path")
        if storage.kind(path) == "folder":
            return _read_folder(path, kind, max_bytes, storage)
        return _read_zip(path, kind, max_bytes, storage)


def check_target(url: str, *, overwrite: bool = False, storage: Storage = LOCAL) -> None:
    """Tells before the work whether something at ``url`` would be in the way of a save.

    Raises:
        ArtifactError: if there is something and ``overwrite`` is false, or it is no artifact.
    """
    with _explained(url, "can't be written to", "choose another path"):
        path = swap.found(storage.resolve(url), storage)
        if path is None:
            return
        if not overwrite:
            raise ArtifactError(f"{url} already exists; choose another path, or replace it (--overwrite)")
        if not is_sealed(path, storage=storage):
            raise ArtifactError("what is here was not written by sparkweave, and is not replaced; choose another path")


def is_sealed(path: str, *, storage: Storage = LOCAL) -> bool:
    """Whether what is at ``path`` looks like an artifact, whole or not, of the form that the path's ending asks for.

    Raises:
        OSError: if the disk refuses.
    """
    if path.endswith(zipped.ENDING):
        return storage.kind(path) == "file" and zipped.has_seal(storage.tail(path, zipped.SEAL_LENGTH))
    return storage.kind(path) == "folder" and manifest.MANIFEST in storage.list(path)


def _stage(files: Mapping[str, bytes], staging: str, path: str, storage: Storage) -> None:
    if path.endswith(zipped.ENDING):
        storage.write(staging, zipped.pack(files))
        return
    storage.make_folder(staging)
    for name, content in files.items():
        storage.write(os.path.join(staging, name), content)
    storage.sync_folder(staging)


def _read_folder(path: str, kind: str, max_bytes: int, storage: Storage) -> dict[str, bytes]:
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


def _read_zip(path: str, kind: str, max_bytes: int, storage: Storage) -> dict[str, bytes]:
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
