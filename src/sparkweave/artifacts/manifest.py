"""The list of an artifact's files with their lengths and SHA-256, written last: what it lists is whole or refused.

The manifest has exactly one spelling, so that each of its own bytes is checked too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from sparkweave.errors import ArtifactError

MANIFEST = "manifest.json"
MAX_BYTES = 1 << 20
_VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class File:
    """What the manifest says of one file: its length in bytes, its SHA-256 in hexadecimal digits."""

    length: int
    sha256: str


def is_name(name: str) -> bool:
    """Whether a file of an artifact may have this name: 1 to 64 of ``[A-Za-z0-9._-]``, no leading dot, no folder."""
    return _NAME.fullmatch(name) is not None


def seal(kind: str, blobs: Mapping[str, bytes]) -> bytes:
    """The manifest of ``blobs``.

    Args:
        kind: What the artifact is (``model``, ``checkpoint``); reading asks for the same.
        blobs: Content by file name.

    Raises:
        ArtifactError: if a name is not one that reading accepts.
    """
    for name in blobs:
        if not is_name(name) or name == MANIFEST:
            raise ArtifactError(
                f"{name!r} can't be a file of an artifact; use 1 to 64 of [A-Za-z0-9._-], no leading dot"
            )
    files = {name: File(length=len(content), sha256=_sha256(content)) for name, content in blobs.items()}
    return _spell(kind, files)


def parse(kind: str, content: bytes) -> dict[str, File]:
    """The files that a manifest lists.

    Raises:
        ArtifactError: if it is not one that `seal` wrote, or of another kind or version.
    """
    try:
        record = json.loads(content)
        found, version, files = record["kind"], record["version"], _files(record["files"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ArtifactError(f"{MANIFEST} is damaged, or not sparkweave's; restore the file from a copy") from error
    if version != _VERSION:
        raise ArtifactError(f"it has format version {version!r}; this sparkweave reads {_VERSION}: use a newer one")
    if found != kind:
        raise ArtifactError(f"it is a {found!r} where a {kind!r} is needed")
    if _spell(kind, files) != content:
        raise ArtifactError(f"{MANIFEST} was changed after it was written; restore the file from a copy")
    return files


def check_names(files: Mapping[str, File], names: Collection[str]) -> None:
    """Raises ArtifactError unless ``names`` are exactly the manifest's files (the manifest itself aside)."""
    present = set(names) - {MANIFEST}
    if missing := sorted(files.keys() - present):
        raise ArtifactError(f"{missing[0]} is missing; restore it from a copy, or save again")
    if extra := sorted(present - files.keys()):
        raise ArtifactError(f"{extra[0]!r} does not belong to it; move that away")


def check_content(files: Mapping[str, File], blobs: Mapping[str, bytes]) -> None:
    """Raises ArtifactError unless each of the files is, byte for byte, what was sealed."""
    for name, file in files.items():
        if len(blobs[name]) != file.length:
            raise ArtifactError(
                f"{name} has {len(blobs[name]):,} bytes, {file.length:,} were written; restore it from a copy"
            )
        if _sha256(blobs[name]) != file.sha256:
            raise ArtifactError(
                f"{name} was changed after it was written (its SHA-256 differs); restore it from a copy"
            )


def _files(record: Mapping[str, Any]) -> dict[str, File]:
    files = {name: File(length=entry["bytes"], sha256=entry["sha256"]) for name, entry in record.items()}
    if not all(type(file.length) is int and file.length >= 0 and is_name(name) for name, file in files.items()):
        raise ValueError("a name or a length breaks its rule")
    return files


def _spell(kind: str, files: Mapping[str, File]) -> bytes:
    listed = {name: {"bytes": file.length, "sha256": file.sha256} for name, file in files.items()}
    record = {"kind": kind, "version": _VERSION, "files": listed}
    return (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
