"""The states of a run, epoch by epoch: the newest whole one is what a restart goes on from."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sparkweave.artifacts.sealed import is_sealed, read_sealed, write_sealed
from sparkweave.artifacts.storage import LOCAL, Storage
from sparkweave.artifacts.swap import leftover_of
from sparkweave.errors import ArtifactError, ConfigError

KIND = "checkpoint"
RUN = "run.json"
"""The blob with the run's fingerprint."""

_NAME = re.compile(r"epoch-(\d{6,})\.zip")
_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The state after ``epoch`` epochs, as the blobs that were saved."""

    epoch: int
    blobs: Mapping[str, bytes]


class CheckpointStore:
    """A folder of checkpoints of one run. Other files in it are left alone.

    Example:
        >>> store = CheckpointStore("/tmp/no-such-run", fingerprint={"seed": 0})
        >>> store.latest() is None
        True
    """

    def __init__(
        self, directory: str, *, fingerprint: Mapping[str, Any], keep: int = 2, storage: Storage = LOCAL
    ) -> None:
        """Touches nothing yet.

        Args:
            directory: A path or URL of ``storage``; made by the first save.
            fingerprint: What makes this run this run (data, network, options), JSON-ready; only a checkpoint with the
                same one is resumed.
            keep: Newest checkpoints that are kept; the older of them stand in for a damaged one.
            storage: Where they are.

        Raises:
            ConfigError: if ``keep`` is below 1.
            ArtifactError: if ``directory`` is none of ``storage``.
        """
        if keep < 1:
            raise ConfigError(f"keep is {keep}; at least 1 checkpoint must be kept")
        self.directory = storage.resolve(directory)
        # Through JSON, so that what is compared later (tuples, integer keys) is what a file gives back.
        self._fingerprint: dict[str, Any] = json.loads(json.dumps(fingerprint))
        self._keep = keep
        self._storage = storage

    def save(self, epoch: int, blobs: Mapping[str, bytes]) -> None:
        """Writes the state after ``epoch`` epochs, then removes what is no longer needed.

        A blob may have any name of `sparkweave.artifacts.manifest.is_name` but ``run.json``, the fingerprint's.
        Checkpoints of later epochs are removed too: a run that was taken up at an earlier one has left them behind.

        Raises:
            ArtifactError: if the disk refuses; the checkpoints before are as they were.
        """
        path = self._path(epoch)
        try:
            if self._storage.kind(path) is not None and not is_sealed(path, storage=self._storage):
                self._storage.remove(path)
            content = {**blobs, RUN: json.dumps(self._fingerprint, sort_keys=True, indent=1).encode()}
            write_sealed(path, content, kind=KIND, overwrite=True, storage=self._storage)
            self._prune(epoch)
        except OSError as error:
            raise ArtifactError(f"{self.directory}: {error.strerror or error}; check its permissions") from error

    def latest(self) -> Checkpoint | None:
        """The newest whole checkpoint, or None where there is none at all.

        One that is damaged is passed over with a warning in the log.

        Raises:
            ArtifactError: if the newest whole one is of another run, or none of them is whole.
        """
        found = newest(self.directory, storage=self._storage)
        if found is None:
            return None
        blobs = dict(found.blobs)
        self._check_run(blobs.pop(RUN, b""))
        return Checkpoint(epoch=found.epoch, blobs=blobs)

    def epochs(self) -> list[int]:
        """The epochs that have a checkpoint, whole or not, in order."""
        return _epochs(self.directory, self._storage)

    def remove(self) -> None:
        """`clear`, and the folder too, if nothing else is in it.

        Raises:
            ArtifactError: if the disk refuses.
        """
        self.clear()
        with contextlib.suppress(OSError):  # never made, or other things are in it
            self._storage.remove_empty(self.directory)

    def clear(self) -> None:
        """Removes all checkpoints, of whatever run, and what interrupted saves left.

        Raises:
            ArtifactError: if the disk refuses.
        """
        try:
            for epoch in self.epochs():
                self._storage.remove(self._path(epoch))
            for leftover in self._leftovers():
                self._storage.remove(leftover)
        except OSError as error:
            raise ArtifactError(f"{self.directory}: {error.strerror or error}; check its permissions") from error

    def _prune(self, newest: int) -> None:
        epochs = self.epochs()
        kept = [epoch for epoch in epochs if epoch <= newest][-self._keep :]
        for epoch in set(epochs) - set(kept):
            self._storage.remove(self._path(epoch))
        for leftover in self._leftovers():
            self._storage.remove(leftover)

    def _leftovers(self) -> Iterator[str]:
        for name in self._storage.list(self.directory):
            target = leftover_of(name)
            if target and _NAME.fullmatch(target):
                yield os.path.join(self.directory, name)

    def _path(self, epoch: int) -> str:
        return _path(self.directory, epoch)

    def _check_run(self, content: bytes) -> None:
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        if found == self._fingerprint:
            return
        there = found if isinstance(found, dict) else {}
        differing = [
            f"{name} is {there.get(name)!r:.80} there and {self._fingerprint.get(name)!r:.80} here"
            for name in sorted({*there, *self._fingerprint})
            if there.get(name) != self._fingerprint.get(name)
        ]
        raise ArtifactError(
            f"{self.directory} holds the checkpoints of another run: {'; '.join(differing)}."
            " Resume with the same options and examples, start without resuming, or choose another folder"
        )


def newest(directory: str, *, storage: Storage = LOCAL) -> Checkpoint | None:
    """The newest whole checkpoint of whatever run, with its fingerprint as the blob `RUN`; None where there is none at all.

    One that is damaged is passed over with a warning in the log.

    Args:
        directory: As `Storage.resolve` returns it.
        storage: Where it is.

    Raises:
        ArtifactError: if none of them is whole.
    """
    epochs = _epochs(directory, storage)
    for epoch in reversed(epochs):
        try:
            return Checkpoint(epoch=epoch, blobs=read_sealed(_path(directory, epoch), kind=KIND, storage=storage))
        except ArtifactError as error:
            _LOG.warning("passing over the checkpoint of epoch %d: %s", epoch, error)
    if epochs:
        raise ArtifactError(
            f"{directory}: none of the checkpoints ({', '.join(map(str, epochs))}) is whole;"
            " start without resuming, or restore one from a copy"
        )
    return None


def epoch_of(name: str) -> int | None:
    """The epoch of the checkpoint whose file has this name, or None if it is no checkpoint's."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def _epochs(directory: str, storage: Storage) -> list[int]:
    return sorted(epoch for name in storage.list(directory) if (epoch := epoch_of(name)) is not None)


def _path(directory: str, epoch: int) -> str:
    return os.path.join(directory, f"epoch-{epoch:06d}.zip")
