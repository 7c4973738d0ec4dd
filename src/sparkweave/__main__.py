"""``python -m sparkweave`` and ``spark-submit .../sparkweave/__main__.py``: the same as the `sparkweave` command."""

from __future__ import annotations

from sparkweave.cli.main import main

if __name__ == "__main__":
    main()
