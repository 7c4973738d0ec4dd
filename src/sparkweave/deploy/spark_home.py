"""The Spark that a submission goes through: ``SPARK_HOME``'s, else the one that pyspark brings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from sparkweave.errors import ResourceError


def spark_home(environment: Mapping[str, str] = os.environ) -> Path:
    """Spark's folder.

    Raises:
        ResourceError: if there is none.
    """
    if home := environment.get("SPARK_HOME"):
        return Path(home)
    package = find_spec("pyspark")
    if package is None or package.origin is None:
        raise ResourceError("SPARK_HOME is not set and pyspark is not installed: set it, or `pip install pyspark`")
    return Path(package.origin).parent


def spark_submit(environment: Mapping[str, str] = os.environ) -> Path:
    """The ``spark-submit`` program.

    Raises:
        ResourceError: if Spark's folder has none.
    """
    program = spark_home(environment) / "bin" / "spark-submit"
    if not program.is_file():
        raise ResourceError(
            f"{program.parent.parent} is taken for Spark's folder and has no bin/spark-submit: set SPARK_HOME"
        )
    return program


def spark_defaults(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The settings of ``spark-defaults.conf``; none where there is no such file."""
    folder = environment.get("SPARK_CONF_DIR") or spark_home(environment) / "conf"
    try:
        lines = Path(folder, "spark-defaults.conf").read_text().splitlines()
    except OSError:
        return {}
    settings = (line.replace("=", " ", 1).split(None, 1) for line in lines if not line.lstrip().startswith("#"))
    return {words[0]: words[1].strip() for words in settings if len(words) == 2}
