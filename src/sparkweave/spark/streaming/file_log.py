"""Which files belong to a batch, as Spark's file source has noted it in its checkpoint.

Its own scan of a batch passes over files that are empty, or gone, without a word; its log names them all. ::

    offsets/7        v1, the batch's settings, {"logOffset":12}
    sources/0/12     v1, {"path":"file:///in/a%20b.png","timestamp":...,"batchId":12}, ...
    sources/0/19.compact    likewise, of all numbers up to 19
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from urllib.parse import unquote

from sparkweave.artifacts.storage import Storage
from sparkweave.errors import ArtifactError

_MAX_BYTES = 1 << 30


def files_of_batch(checkpoint: str, batch_id: int, storage: Storage) -> list[str]:
    """The URLs of a batch's files.

    Args:
        checkpoint: Of a query whose only source is a folder, as ``storage`` resolved it.
        batch_id: Of a batch that was begun.
        storage: Where it is.

    Raises:
        ArtifactError: if the log is not as Spark writes it.
    """
    try:
        first = _log_offset(checkpoint, batch_id - 1, storage) + 1 if batch_id else 0
        last = _log_offset(checkpoint, batch_id, storage)
        return [path for number in range(first, last + 1) for path in _noted(checkpoint, number, storage)]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ArtifactError(
            f"{checkpoint} has no usable log of batch {batch_id} ({error}); give a new checkpoint"
        ) from error


def _log_offset(checkpoint: str, batch_id: int, storage: Storage) -> int:
    lines = storage.read(os.path.join(checkpoint, "offsets", str(batch_id)), limit=_MAX_BYTES).decode().splitlines()
    return int(json.loads(lines[2])["logOffset"])


def _noted(checkpoint: str, number: int, storage: Storage) -> Iterator[str]:
    folder = os.path.join(checkpoint, "sources", "0")
    path = os.path.join(folder, str(number))
    if storage.kind(path) is None:
        path += ".compact"
    version, *lines = storage.read(path, limit=_MAX_BYTES).decode().splitlines()
    if version != "v1":
        raise ValueError(f"{path} is of version {version}, and v1 is known")
    for entry in map(json.loads, lines):
        if entry["batchId"] == number:
            yield unquote(entry["path"])
