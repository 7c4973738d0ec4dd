"""Which stream a checkpoint and an output belong to: batch numbers mean something only together."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
from typing import Any

from sparkweave.artifacts.storage import Storage
from sparkweave.errors import ArtifactError

IN_CHECKPOINT = "sparkweave.json"
IN_OUTPUT = "_sparkweave_stream.json"
"""Spark's readers pass over names that begin with an underscore."""

_MAX_BYTES = 1 << 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamIdentity:
    """A stream.

    Attributes:
        token: Its own name, made when its checkpoint was.
        input: Where it reads.
        output: Where it writes.
    """

    token: str
    input: str
    output: str


def claim_checkpoint(checkpoint: str, *, source: str, output: str, storage: Storage) -> StreamIdentity:
    """The identity in a checkpoint; a new one where there is none yet.

    Raises:
        ArtifactError: if the checkpoint is of another input or output.
    """
    folder = storage.resolve(checkpoint)
    path = os.path.join(folder, IN_CHECKPOINT)
    if storage.kind(path) is None:
        if storage.list(folder):
            raise ArtifactError(
                f"{checkpoint} is not empty, and not a checkpoint of `sparkweave stream`; choose another path"
            )
        made = StreamIdentity(token=secrets.token_hex(8), input=source, output=output)
        storage.make_folder(folder)
        _write(path, dataclasses.asdict(made), storage)
        return made
    identity = _read(path, storage)
    for name, wanted in (("input", source), ("output", output)):
        if (had := getattr(identity, name)) != wanted:
            raise ArtifactError(
                f"{checkpoint} is the checkpoint of a stream with the {name} {had}, and this one's is {wanted};"
                " give that one, or a new checkpoint"
            )
    return identity


def claim_output(output: str, identity: StreamIdentity, *, checkpoint: str, storage: Storage) -> None:
    """Marks a folder as this stream's.

    Raises:
        ArtifactError: if it is of another checkpoint, or something else is in it.
    """
    folder = storage.resolve(output)
    path = os.path.join(folder, IN_OUTPUT)
    if storage.kind(path) is not None:
        if _read(path, storage).token != identity.token:
            raise ArtifactError(
                f"{output} belongs to a stream with another checkpoint than {checkpoint}: its batches would be replaced;"
                " give its checkpoint, or another output"
            )
        return
    if storage.kind(folder) == "file" or storage.list(folder):
        raise ArtifactError(f"{output} already exists and is no stream's output; choose another path")
    storage.make_folder(folder)
    _write(path, dataclasses.asdict(identity), storage)


def _read(path: str, storage: Storage) -> StreamIdentity:
    try:
        document: Any = json.loads(storage.read(path, limit=_MAX_BYTES))
        return StreamIdentity(**{name: str(document[name]) for name in ("token", "input", "output")})
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); give a new checkpoint and a new output") from error


def _write(path: str, document: dict[str, str], storage: Storage) -> None:
    """Beside it first: after a crash there is all of it, or nothing."""
    beside = f"{path}.{secrets.token_hex(8)}.new"
    storage.write(beside, json.dumps(document).encode())
    storage.rename(beside, path)
