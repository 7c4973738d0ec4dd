"""What the cluster's ``yarn-site.xml`` says, as far as a submission has to know it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

_LARGEST = "yarn.scheduler.maximum-allocation-mb"


def largest_container(environment: Mapping[str, str] = os.environ) -> int | None:
    """Bytes of the largest container that YARN grants, or None where the settings of this machine don't say."""
    folder = environment.get("YARN_CONF_DIR") or environment.get("HADOOP_CONF_DIR")
    if not folder:
        return None
    try:
        root = ET.parse(Path(folder, "yarn-site.xml")).getroot()  # noqa: S314 - the administrator's file
        found = [entry.findtext("value", "") for entry in root.iter("property") if entry.findtext("name") == _LARGEST]
        return int(found[-1]) << 20 if found else None
    except (OSError, ET.ParseError, ValueError):
        return None
