"""``python -m sparkweave`` and ``spark-submit .../sparkweave/__main__.py``: the same as the `sparkweave` command."""

from __future__ import annotations

import contextlib
import os
import sys

if not __package__:  # run as a file: the modules in this folder must not stand for a user's of the same names
    with contextlib.suppress(ValueError):
        sys.path.remove(os.path.dirname(os.path.abspath(__file__)))

from sparkweave.cli.main import main

if __name__ == "__main__":
    main()
