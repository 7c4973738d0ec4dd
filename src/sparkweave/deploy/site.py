"""What the cluster's own settings (``core-site.xml``, ``yarn-site.xml``) say, as far as a submission has to know it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

_CONF_DIR = "HADOOP_CONF_DIR"


def largest_container(environment: Mapping[str, str] = os.environ) -> int | None:
    """Bytes of the largest container that YARN grants, or None where the settings of this machine don't say."""
    folder = environment.get("YARN_CONF_DIR") or environment.get(_CONF_DIR)
    found = _setting(folder, "yarn-site.xml", "yarn.scheduler.maximum-allocation-mb")
    with contextlib.suppress(ValueError):
        return int(found) << 20
    return None


def has_kerberos(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the cluster asks for a ticket, and so decides itself who its users are."""
    return _setting(environment.get(_CONF_DIR), "core-site.xml", "hadoop.security.authentication") == "kerberos"


def _setting(folder: str | None, file: str, name: str) -> str:
    """Its value, empty where it is not set."""
    if not folder:
        return ""
    try:
        root = ET.parse(Path(folder, file)).getroot()  # noqa: S314 - the administrator's file
    except (OSError, ET.ParseError):
        return ""
    found = [entry.findtext("value", "").strip() for entry in root.iter("property") if entry.findtext("name") == name]
    return found[-1] if found else ""
