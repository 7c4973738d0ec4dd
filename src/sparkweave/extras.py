"""Packages that only some uses need: named by extras of this package, looked for before any work starts."""

from __future__ import annotations

import importlib.util

from sparkweave.errors import ConfigError


def require_extra(extra: str, *modules: str, what: str) -> None:
    """Looks for the modules of ``extra``, without importing them where they are on top level.

    Args:
        extra: As in ``pip install 'sparkweave[extra]'``.
        modules: What it brings.
        what: Who needs them, the subject of the error's message.

    Raises:
        ConfigError: if one is missing; with the command that installs it.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise ConfigError(
            f"{what} needs {' and '.join(missing)}, which this Python doesn't have: pip install 'sparkweave[{extra}]'"
        )
