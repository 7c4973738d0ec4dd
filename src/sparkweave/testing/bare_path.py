"""A PATH with the ordinary programs and no Python, as on a cluster's nodes where nobody may install anything."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_SYSTEM = (Path("/usr/bin"), Path("/bin"))
_PYTHON = re.compile(r"(python|pypy)\d*(\.\d+)*(-.*)?$")


def make_bare_path(folder: Path, sources: Sequence[Path] = _SYSTEM) -> None:
    """Fills ``folder`` with links to all programs of ``sources`` but Pythons; it alone is then the PATH."""
    folder.mkdir(parents=True)
    for source in sources:
        for program in sorted(source.iterdir()):
            link = folder / program.name
            if not is_python(program) and not link.is_symlink():
                link.symlink_to(program)


def is_python(program: Path) -> bool:
    """Whether a program is a Python by its name, or by the name of what it is a link to."""
    return any(_PYTHON.match(name) for name in (program.name, program.resolve().name))
