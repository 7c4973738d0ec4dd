"""One's own code as a small archive: sparkweave as it is here, and the user's modules. It changes often, the packages below it don't.

So a submission's environment is packed and shipped once, and only this is made anew. Unpacked, it comes before the environment in
Python's path.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

from sparkweave.deploy.cache import cache_folder, forget_old
from sparkweave.deploy.environment import find_module
from sparkweave.errors import ConfigError

_KEPT = 50
_OWN = Path(__file__).parents[1]
_TIME = (1980, 1, 1, 0, 0, 0)


def code_archive(modules: Iterable[Path]) -> Path:
    """A ZIP in the cache folder, under a name that tells its content; the same files give the same bytes.

    Args:
        modules: The user's own modules, see `sparkweave.deploy.environment.find_module`.

    Raises:
        ConfigError: if a module isn't there, or has the name of another.
    """
    packages = [find_module(path) for path in (_OWN, *modules)]
    names = [package.name for package in packages]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"two modules have the name {min(doubled)!r}; rename one of them")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, place in sorted((file for package in packages for file in package.files), key=lambda file: file[1]):
            entry = zipfile.ZipInfo(place, _TIME)
            entry.external_attr = path.stat().st_mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    target = cache_folder("code") / f"code-{hashlib.sha256(content.getvalue()).hexdigest()[:16]}.zip"
    if not target.exists():
        partial = target.with_suffix(f".{os.getpid()}.partial")
        partial.write_bytes(content.getvalue())
        partial.replace(target)
    target.touch()
    forget_old(target.parent, kept=_KEPT)
    return target
