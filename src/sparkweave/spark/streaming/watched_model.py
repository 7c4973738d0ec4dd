"""The model of a stream: loaded again where a new version was saved, kept where the new one can't be used.

MODEL is a model (a folder or a ``.zip``), or a folder of versions: ``000001.zip``, ``000002.zip`` and so on, of which the highest is taken that is
whole and has predicted an input of zeros.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import re
from collections.abc import Iterator

from sparkweave.artifacts.manifest import MANIFEST
from sparkweave.artifacts.refusals import Refusals
from sparkweave.artifacts.storage import Storage
from sparkweave.errors import ArtifactError, SparkweaveError
from sparkweave.inference.predictor import Predictor, try_out
from sparkweave.spark.model import TrainedModel
from sparkweave.spark.storage import storage_for

_LOG = logging.getLogger(__name__)
_VERSION = re.compile(r"(?P<number>\d{1,18})(\.zip)?")
_TAIL_BYTES = 4096  # an archive's seal is at its end
_MANIFEST_BYTES = 1 << 20
_THE_LOOK = ""
"""Refused in place of a path: the whole look at what is there."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Version:
    """A model that was loaded.

    Attributes:
        name: Its number in the folder of versions; else the beginning of its hash.
        model: The model itself.
    """

    name: str
    model: TrainedModel


class WatchedModel:
    """Looks at ``url`` each time it is asked.

    Args:
        url: A model, or a folder of versions.
        allow_code: Whether a network of the user's own code may be imported.
        images: Whether it must take images.
        retry_seconds: Before the second try of a model that could not be read.

    Raises:
        ArtifactError: if there is no usable model.
    """

    def __init__(self, url: str, *, allow_code: bool = False, images: bool = True, retry_seconds: float = 2.0) -> None:
        self._url, self._allow_code, self._images = url, allow_code, images
        self._storage: Storage = storage_for(url)
        self._path = self._storage.resolve(url)
        self._refused: Refusals[str] = Refusals(pause_seconds=retry_seconds)
        self._seal = ""
        self._current: Version | None = None
        self._look()
        if self._current is None:
            refused = "".join(f"\n  {_named(path, reason)}" for path, reason in self._refused.reasons.items())
            raise ArtifactError(f"{url}: there is no usable model{refused}")

    def current(self) -> Version:
        """The newest usable version; a new one that is not is refused, with one warning.

        One that could not be read, or had no memory, is tried again at later looks.
        """
        try:
            self._look()
        except (SparkweaveError, OSError) as error:
            self._refuse(_THE_LOOK, "", error)
        else:
            self._refused.forget(_THE_LOOK)
        assert self._current is not None
        return self._current

    def _look(self) -> None:
        for path, number in self._candidates():
            seal = self._seal_of(path)
            if self._current is not None and seal == self._seal:
                return
            if not self._refused.is_due(path, seal):
                continue
            try:
                self._take(path, number, seal)
            except Exception as error:  # noqa: BLE001 - whatever a strange file brings about, the stream goes on
                self._refuse(path, seal, error)
            else:
                self._refused.forget(path)
                return

    def _candidates(self) -> Iterator[tuple[str, str | None]]:
        """The paths of models, the newest first."""
        names = self._storage.list(self._path) if self._storage.kind(self._path) == "folder" else []
        versions = [(int(match["number"]), name) for name in names if (match := _VERSION.fullmatch(name))]
        if MANIFEST in names or not versions:
            yield self._path, None
        for _number, name in sorted(versions, reverse=True):
            yield os.path.join(self._path, name), name.removesuffix(".zip")

    def _seal_of(self, path: str) -> str:
        """Changes where the model changes, and costs no reading of weights."""
        if self._storage.kind(path) == "folder" and self._storage.kind(f"{path}/{MANIFEST}") == "file":
            content = self._storage.read(f"{path}/{MANIFEST}", limit=_MANIFEST_BYTES)
        elif self._storage.kind(path) == "file":
            content = self._storage.tail(path, _TAIL_BYTES)
        else:
            content = b""  # loading it says what is wrong, or finds one that is just being replaced
        return f"{path} {hashlib.sha256(content).hexdigest()}"

    def _take(self, path: str, number: str | None, seal: str) -> None:
        model = TrainedModel.load(path, allow_code=self._allow_code)
        if self._images:
            _ = model.image_shape
        if self._current is not None and bool(model.labels) != bool(self._current.model.labels):
            raise ArtifactError("it predicts other things (classes, numbers) than the one before; start another stream")
        if self._current is not None and len(model.input_shape) != len(self._current.model.input_shape):
            raise ArtifactError("it takes other things (images, vectors) than the one before; start another stream")
        task, blob = model.predictor
        try_out(Predictor(task, blob), 1)
        self._current, self._seal = Version(name=number or task.model[:12], model=model), seal

    def _refuse(self, path: str, seal: str, error: Exception) -> None:
        reason = self._refused.add(path, seal, error)
        if reason is not None and self._current is not None:
            _LOG.warning("a new model is refused, model %s goes on: %s", self._current.name, _named(path, reason))


def _named(path: str, reason: str) -> str:
    """A reason that says which model it is about."""
    return reason if reason.startswith(path) else f"{path}: {reason}"
