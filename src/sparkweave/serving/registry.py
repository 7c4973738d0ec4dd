"""A folder of a model's versions, ``000001.zip`` and so on, on the local disk or on HDFS.

A version appears by a rename, whole, and is never changed. Its number is claimed first, by a file that only one can create
(``.000002.claim``), so that two who publish at once get two numbers. To go back, publish an old version anew: the highest number is served.
"""

from __future__ import annotations

import dataclasses
import os
import re

from sparkweave.artifacts import manifest, zipped
from sparkweave.artifacts.model import ModelArtifact
from sparkweave.artifacts.storage import LOCAL, Storage
from sparkweave.artifacts.tensors import pack_tensors
from sparkweave.errors import ArtifactError

_VERSION = re.compile(r"(?P<number>\d{1,18})(\.zip)?")
_CLAIM = re.compile(r"\.(?P<number>\d{1,18})\.claim")


@dataclasses.dataclass(frozen=True, kw_only=True, order=True)
class Version:
    """A version by its number, and the name of its file or folder."""

    number: int
    file: str

    @property
    def name(self) -> str:
        """What it is called: the file's name without its ending."""
        return self.file.removesuffix(zipped.ENDING)


class Registry:
    """The versions in one folder.

    Attributes:
        url: As it was given.
    """

    def __init__(self, url: str, *, storage: Storage = LOCAL) -> None:
        """Looks at nothing yet.

        Raises:
            ArtifactError: if the URL can't be one.
        """
        self.url = url
        self._storage = storage
        self._folder = storage.resolve(url)

    def versions(self) -> list[Version]:
        """All versions, the lowest first; other names in the folder are none.

        Raises:
            ArtifactError: if there is no such folder.
            OSError: if the file system refuses.
        """
        if self._storage.kind(self._folder) != "folder":
            raise ArtifactError(f"{self.url}: no folder of versions is here; check the path, or publish a model to it")
        matches = ((name, _VERSION.fullmatch(name)) for name in self._storage.list(self._folder))
        return sorted(Version(number=int(match["number"]), file=name) for name, match in matches if match)

    def load(self, version: Version) -> ModelArtifact:
        """Reads and checks a version.

        Raises:
            ArtifactError: if it is not exactly what was published.
        """
        path = self._path(version.file)
        if self._storage.kind(path) == "other":
            raise ArtifactError(f"{path} is neither a file nor a folder; links are not followed")
        return ModelArtifact.load(path, storage=self._storage)

    def seal(self, version: Version) -> bytes:
        """A few bytes that change when the version does: one that is still being copied is worth another look.

        Raises:
            ArtifactError: if it is a link, or longer than a manifest.
            OSError: if the file system refuses.
        """
        path = self._path(version.file)
        if self._storage.kind(path) == "file":
            return self._storage.tail(path, zipped.SEAL_LENGTH)
        return self._storage.read(os.path.join(path, manifest.MANIFEST), limit=manifest.MAX_BYTES)

    def publish(self, artifact: ModelArtifact) -> Version:
        """Adds a model, without its optimizer, under the next number, and reads it back.

        Raises:
            ArtifactError: if the file system refuses, or what is there is not what was written.
        """
        try:
            self._storage.make_folder(self._folder)
            number, claim = self._claim()
        except OSError as error:
            raise ArtifactError(f"{self.url}: {error.strerror or error}; check the path and its permissions") from error
        version = Version(number=number, file=f"{number:06}{zipped.ENDING}")
        try:
            artifact.save(self._path(version.file), save_optimizer=False, storage=self._storage)
            self._verify(version, artifact)
        finally:
            self._storage.remove(claim)
        return version

    def _verify(self, version: Version, artifact: ModelArtifact) -> None:
        try:
            if pack_tensors(self.load(version).weights) != pack_tensors(artifact.weights):
                raise ArtifactError(f"{self.url}: version {version.name} is not what was written; check the disk")
        except ArtifactError:
            self._storage.remove(self._path(version.file))
            raise

    def _claim(self) -> tuple[int, str]:
        """A number that nobody else has or gets, and the file that says so."""
        while True:
            names = self._storage.list(self._folder)
            taken = [int(match["number"]) for name in names if (match := _VERSION.fullmatch(name))]
            claimed = [int(match["number"]) for name in names if (match := _CLAIM.fullmatch(name))]
            number = max([0, *taken, *claimed]) + 1
            claim = self._path(f".{number:06}.claim")
            try:
                self._storage.write(claim, b"")
            except FileExistsError:
                continue
            # Who had the number before gave the claim back only after the version was there.
            if not any(version.number == number for version in self.versions()):
                return number, claim
            self._storage.remove(claim)

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)


def is_registry(url: str, storage: Storage) -> bool:
    """Whether ``url`` is a folder of versions, rather than a model.

    Raises:
        ArtifactError: if there is nothing.
    """
    path = storage.resolve(url)
    kind = storage.kind(path)
    if kind is None:
        raise ArtifactError(f"{url}: nothing is here; give a saved model, or a registry: a folder of versions")
    return kind == "folder" and manifest.MANIFEST not in storage.list(path)
