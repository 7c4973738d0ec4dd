"""The environment of a submission that names none: this Python and its packages, packed once and kept until a version changes."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Sequence
from pathlib import Path

from sparkweave.deploy.cache import cache_folder, forget_old
from sparkweave.deploy.environment import find_versions
from sparkweave.deploy.pack import Order, pack

_KEPT = 3


def default_environment(*, cpu: bool, report: Callable[[str], None], requirements: Sequence[str] = ()) -> Path:
    """The archive; packed if there is none yet of just these packages. One's own code is not looked at: it is shipped apart.

    Args:
        cpu: Leave out what only serves GPUs.
        report: Called with a line at each step of packing.
        requirements: Further distributions, see `sparkweave.deploy.environment.find_packages`.

    Raises:
        ConfigError: if something can't be packed.
        ResourceError: if the environment doesn't work without this machine.
    """
    folder = cache_folder("environments")
    archive = folder / f"environment-{_fingerprint(requirements, cpu=cpu)}.tar.gz"
    if not archive.is_file():
        report(f"Packing this Python for the cluster, once, into {folder} (some minutes)")
        pack(Order(output=archive, requirements=tuple(requirements), cpu=cpu, overwrite=True), report)
    archive.touch()
    forget_old(folder, kept=_KEPT)
    return archive


def _fingerprint(requirements: Sequence[str], *, cpu: bool) -> str:
    """Of Python's and the packages' versions."""
    found = find_versions(requirements, cpu=cpu)
    versions = [f"{name} {version}" for name, version in found.items() if name != "sparkweave"]
    text = "\n".join([platform.python_version(), platform.machine(), str(cpu), *versions])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
