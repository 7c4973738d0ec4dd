"""Looks at a registry every few seconds, and puts a new version in the old one's place once it has proved itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from sparkweave.artifacts.refusals import Refusals
from sparkweave.errors import SparkweaveError
from sparkweave.serving.model import ServedModel
from sparkweave.serving.registry import Registry, Version

_LOG = logging.getLogger("sparkweave.serving")


class Watcher:
    """Follows a registry. A version that is unfit stays refused until it changes; the one before serves on.

    One that could not be read, or had no memory, is tried again.

    Attributes:
        unreachable: Why the registry can't be read now, or None.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        build: Callable[[Version], ServedModel],
        install: Callable[[ServedModel], None],
        poll_seconds: float,
    ) -> None:
        """Nothing is looked at before `look` or `start`.

        Args:
            registry: What is followed.
            build: Reads, verifies and warms up a version.
            install: Puts it in the old one's place.
            poll_seconds: Between two looks, and before the second try of a version that could not be read.
        """
        self.unreachable: str | None = None
        self._registry = registry
        self._build = build
        self._install = install
        self._poll_seconds = poll_seconds
        self._refused: Refusals[Version] = Refusals(pause_seconds=poll_seconds)
        self._current = -1
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sparkweave-watcher", daemon=True)

    @property
    def refused(self) -> Mapping[str, str]:
        """The reason for each version that is there and is not served, though it is newer than what is."""
        return {version.name: reason for version, reason in sorted(self._refused.reasons.items())}

    def start(self) -> None:
        """Looks again and again, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; what it is just reading is given up."""
        self._ended.set()

    def look(self) -> bool:
        """Serves the newest version that is fit to; whether there is one that was not served before."""
        try:
            versions = self._registry.versions()
        except (OSError, SparkweaveError) as error:
            self._note_unreachable(str(error))
            return False
        self._note_unreachable(None)
        newer = [version for version in versions if version.number > self._current]
        self._refused.keep(newer)
        return any(self._try(version) for version in reversed(newer))

    def _run(self) -> None:
        while not self._ended.wait(self._poll_seconds):
            try:
                self.look()
            except Exception:  # noqa: BLE001 - the watch goes on
                _LOG.exception("looking at %s failed", self._registry.url)

    def _try(self, version: Version) -> bool:
        seal = self._seal(version)
        if not self._refused.is_due(version, seal):
            return False
        try:
            model = self._build(version)
        except Exception as error:  # noqa: BLE001 - whatever a strange file brings about, the old version serves on
            reason = self._refused.add(version, seal, error)
            if reason is not None:
                _LOG.warning("version %s is refused: %s", version.name, reason)
            return False
        self._current = version.number
        self._refused.keep([other for other in self._refused.reasons if other.number > version.number])
        self._install(model)
        _LOG.warning("version %s is served", version.name)
        return True

    def _seal(self, version: Version) -> bytes:
        try:
            return self._registry.seal(version)
        except (OSError, SparkweaveError):
            return b""

    def _note_unreachable(self, reason: str | None) -> None:
        if reason is not None and self.unreachable is None:
            _LOG.warning("the registry can't be read: %s", reason)
        self.unreachable = reason
