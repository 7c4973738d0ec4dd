"""Whether a stream would read what it writes: each batch would bring about the next one, without end."""

from __future__ import annotations

import dataclasses
import os
import posixpath

from sparkweave.errors import ConfigError
from sparkweave.filesystem import is_local, local_path

_USUAL_PORTS = {"hdfs": ":8020"}


def require_apart(source: str, **written: str) -> None:
    """Raises ConfigError if the input and something that is written are the same, or one of them lies in the other.

    Args:
        source: Where the stream reads: a folder, or a topic of Kafka.
        **written: Where it writes, likewise, by the names that messages give them. Without a session URLs are compared as they are.
    """
    read = _Place.of(source)
    for name, url in written.items():
        place = _Place.of(url)
        if place.is_in(read) or read.is_in(place):
            relation = "is the same" if place == read else "holds it" if place.is_in(read) else "lies in it"
            raise ConfigError(
                f"{name} is {url}, and the input {source} {relation}: the stream would read what it writes, without end; "
                f"give {name} a place of its own"
            )


@dataclasses.dataclass(frozen=True)
class _Place:
    system: str
    path: str

    @classmethod
    def of(cls, url: str) -> _Place:
        if is_local(url):
            return cls("file", os.path.realpath(local_path(url)))
        scheme, _, rest = url.partition("://")
        host, _, path = rest.partition("/")
        scheme, host = scheme.lower(), host.lower()
        port = "" if ":" in host else _USUAL_PORTS.get(scheme, "")
        return cls(f"{scheme}://{host}{port}", posixpath.normpath(f"/{path}"))

    def is_in(self, other: _Place) -> bool:
        return self.system == other.system and posixpath.commonpath([self.path, other.path]) == other.path
