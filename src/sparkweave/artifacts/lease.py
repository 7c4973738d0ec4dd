"""One driver at a time: the lease of a run's folder, a file in it that its owner renews every few seconds.

Who finds a lease that has not changed for a while takes the run over: its owner was killed. Nobody's clock is compared with
another's. The files are numbered, and creating one that must not exist is atomic, so of two that take over at once one gets the
next number; and an owner that was only asleep finds a higher one and stops.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Iterator

from sparkweave.artifacts.storage import Storage
from sparkweave.errors import ArtifactError
from sparkweave.place import this_place

RENEW_SECONDS = 5.0
STALE_SECONDS = 30.0
"""How long a lease has to stay the same to be taken for a dead driver's."""

_NAME = re.compile(r"run-(\d{6})\.lease(\.renewed)?")
_MAX_BYTES = 1 << 12
_RENEWAL_TAKES_SECONDS = 1.0
_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Owner:
    """Who holds a lease: a process on a host, and where its number counts (see `sparkweave.place`)."""

    host: str
    pid: int
    place: int

    @classmethod
    def here(cls) -> Owner:
        """This process."""
        return cls(host=socket.gethostname(), pid=os.getpid(), place=this_place())

    def is_gone(self) -> bool:
        """Whether it is a process of this machine that does not exist any more."""
        if self.place == 0 or self.place != this_place():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


class Lease:
    """A lease that is held; see `held`."""

    def __init__(self, folder: str, number: int, storage: Storage) -> None:
        self._folder = folder
        self._number = number
        self._storage = storage
        self._renewals = 0

    @property
    def path(self) -> str:
        """The lease's file."""
        return _path(self._folder, self._number)

    def check(self) -> None:
        """Raises ArtifactError if another driver has taken the run over in the meantime."""
        if _newest(self._folder, self._storage) > self._number:
            raise ArtifactError(
                f"{self._folder}: another driver has taken this run over, because this one gave no sign of life for"
                f" {STALE_SECONDS:g} s; let it finish, or choose another folder for this run's checkpoints"
            )

    def renew(self) -> None:
        """Changes the file, as a sign of life."""
        self._renewals += 1
        renewed = f"{self.path}.renewed"
        self._storage.remove(renewed)
        self._storage.write(renewed, _content(self._renewals))
        self._storage.rename(renewed, self.path)

    def release(self) -> None:
        """Gives it back; a folder that is empty then goes too."""
        for name in (f"{self.path}.renewed", self.path):
            self._storage.remove(name)
        with contextlib.suppress(OSError):
            self._storage.remove_empty(self._folder)


@contextlib.contextmanager
def held(folder: str, storage: Storage, *, stale_seconds: float = STALE_SECONDS) -> Iterator[Lease]:
    """Holds the lease of ``folder`` while the context lasts, and renews it from a thread.

    A driver that was killed on this host is recognized at once, one on another host after ``stale_seconds``.

    Args:
        folder: As `Storage.resolve` returned it; made if it is missing.
        storage: Where it is.
        stale_seconds: How long an unchanged lease is watched before it is taken over.

    Raises:
        ArtifactError: if another driver holds it, or the file system refuses.
    """
    try:
        lease = _acquire(folder, storage, stale_seconds)
    except OSError as error:
        raise ArtifactError(f"{folder}: {error.strerror or error}; check its permissions") from error
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(lease, ended), name="lease", daemon=True)
    renewing.start()
    try:
        yield lease
    finally:
        ended.set()
        renewing.join()
        with contextlib.suppress(OSError):
            lease.release()


def _acquire(folder: str, storage: Storage, stale_seconds: float) -> Lease:
    storage.make_folder(folder)
    number = _newest(folder, storage)
    if number:
        _wait_until_stale(folder, number, storage, stale_seconds)
    lease = Lease(folder, number + 1, storage)
    try:
        storage.write(lease.path, _content(0))
    except FileExistsError:
        raise _refused(folder, "another driver has just started") from None
    try:
        lease.check()
    except ArtifactError:
        storage.remove(lease.path)
        raise
    for earlier in range(1, number + 1):
        storage.remove(_path(folder, earlier))
        storage.remove(f"{_path(folder, earlier)}.renewed")
    return lease


def _wait_until_stale(folder: str, number: int, storage: Storage, stale_seconds: float) -> None:
    """Returns when the lease's owner is known, or must be thought, to be dead."""
    path = _path(folder, number)
    first = _read(path, storage)
    owner = _owner(first)
    if first is None or (owner and owner.is_gone()):
        return
    _LOG.warning("%s: another driver may be at work on this run; watching for %g s", folder, stale_seconds)
    deadline = time.monotonic() + stale_seconds
    while time.monotonic() < deadline:
        time.sleep(min(1.0, stale_seconds / 10))
        if (now := _read(path, storage)) is None:
            return
        if now != first:
            who = f"the driver with process id {owner.pid} on {owner.host}" if owner else "another driver"
            raise _refused(folder, f"{who} is at work")


def _refused(folder: str, why: str) -> ArtifactError:
    return ArtifactError(f"{folder}: {why} on this run; wait for it, stop it, or choose another --checkpoint-dir")


def _renew(lease: Lease, ended: threading.Event) -> None:
    while not ended.wait(RENEW_SECONDS):
        # A file system that is away for a moment is no reason to stop; the next renewal tells others soon enough.
        with contextlib.suppress(OSError):
            lease.renew()


def _newest(folder: str, storage: Storage) -> int:
    matches = (_NAME.fullmatch(name) for name in storage.list(folder))
    return max((int(match[1]) for match in matches if match), default=0)


def _path(folder: str, number: int) -> str:
    return os.path.join(folder, f"run-{number:06d}.lease")


def _content(renewals: int) -> bytes:
    return json.dumps({**dataclasses.asdict(Owner.here()), "renewals": renewals}).encode()


def _read(path: str, storage: Storage) -> bytes | None:
    """The lease's content; None where it has been released.

    Where a rename can't replace a file in one step (Hadoop's local file system), it is missing for a moment while it is renewed.
    """
    with contextlib.suppress(FileNotFoundError):
        return storage.read(path, limit=_MAX_BYTES)
    time.sleep(_RENEWAL_TAKES_SECONDS)
    with contextlib.suppress(FileNotFoundError):
        return storage.read(path, limit=_MAX_BYTES)
    return None


def _owner(content: bytes | None) -> Owner | None:
    try:
        record = json.loads(content or b"")
        return Owner(host=str(record["host"]), pid=int(record["pid"]), place=int(record["place"]))
    except (ValueError, KeyError, TypeError):
        return None
