"""From a URL to a service: a model that stays, or a registry that is followed."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import socket

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.artifacts.native_storage import NativeStorage
from sparkweave.artifacts.storage import LOCAL, Storage
from sparkweave.errors import ArtifactError
from sparkweave.filesystem import HDFS_SCHEMES, is_local
from sparkweave.serving.limits import Limits
from sparkweave.serving.model import ServedModel, check_name, name_of
from sparkweave.serving.registry import Registry, Version, is_registry
from sparkweave.serving.service import Service
from sparkweave.serving.watcher import Watcher

_LOG = logging.getLogger("sparkweave.serving")
_ONLY_VERSION = "1"
_HOST_AND_PORT = re.compile(r"[A-Za-z]+://(?P<host>[^/:]+):(?P<port>\d{1,6})(/|$)")
_ANSWER_SECONDS = 10.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """What is served.

    Attributes:
        url: A model, or a registry.
        name: What clients call the model; None takes it from the URL.
        allow_code: Whether a network of the user's own code may be imported.
        poll_seconds: Between two looks at a registry.
    """

    url: str
    name: str | None = None
    allow_code: bool = False
    poll_seconds: float = 2.0


def storage_at(url: str) -> Storage:
    """Where ``url`` is kept, reached without Spark and without Java.

    Raises:
        ArtifactError: if it is neither on the local disk nor on HDFS, or HDFS does not answer.
    """
    if is_local(url):
        return LOCAL
    if url.partition(":")[0].lower() in HDFS_SCHEMES:
        _check_answers(url)
        return NativeStorage()
    raise ArtifactError(
        f"{url}: models are served from the local disk and from hdfs:// or viewfs:// alone; copy it there"
    )


def _check_answers(url: str) -> None:
    """Knocks at the NameNode that the URL names, if it names one: the client itself tries for three minutes in silence."""
    match = _HOST_AND_PORT.match(url)
    if match is None:
        return
    try:
        socket.create_connection((match["host"], int(match["port"])), _ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ArtifactError(
            f"{url}: no NameNode answers at {match['host']}:{match['port']} ({error}); check the URL"
        ) from error


def open_service(source: Source, limits: Limits) -> Service:
    """A service with its model loaded and warmed up; one that follows an empty registry waits for the first version.

    Raises:
        ArtifactError: if there is nothing at the URL, or the model is damaged.
        ConfigError: if the name is none, or the network is user code that isn't allowed.
    """
    name = check_name(source.name or name_of(source.url))
    storage = storage_at(source.url)
    try:
        follows = is_registry(source.url, storage)
    except OSError as error:
        raise ArtifactError(f"{source.url} can't be read: {error.strerror or error}; check the URL") from error
    if follows:
        return _following(source, name, storage, limits)
    artifact = ModelArtifact.load(source.url, storage=storage)
    model = ServedModel.of(artifact, name=name, version=_ONLY_VERSION, allow_code=source.allow_code)
    model.warm_up(limits.batch_images)
    return Service(name, limits=limits, model=model)


def _following(source: Source, name: str, storage: Storage, limits: Limits) -> Service:
    registry = Registry(source.url, storage=storage)
    service = Service(name, limits=limits)

    def build(version: Version) -> ServedModel:
        model = ServedModel.of(registry.load(version), name=name, version=version.name, allow_code=source.allow_code)
        model.warm_up(limits.batch_images)
        return model

    service.watcher = Watcher(registry, build=build, install=service.install, poll_seconds=source.poll_seconds)
    if not service.watcher.look():
        _LOG.warning("%s has no version that can be served yet; waiting for one", source.url)
    return service


def threads_beside_the_network() -> int:
    """Threads for the network that leave a core to everything else: two busy pools on one core slow each other down."""
    return max(1, len(os.sched_getaffinity(0)) - 1)
