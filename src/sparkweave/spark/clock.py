"""By which clock a run's events are timed: the driver's own, or an NTP server's. Durations never depend on it."""

from __future__ import annotations

import logging
import socket

import ntplib

_VERSION = 4  # RFC 5905
_TIMEOUT_SECONDS = 3.0
_LOG = logging.getLogger(__name__)


def clock_offset(source: str, server: str) -> float:
    """How many seconds this machine's clock is behind: 0 where it is itself the ``source``, or where no server answers.

    Args:
        source: ``system`` or ``ntp``.
        server: The NTP server's host name.
    """
    if source == "system":
        return 0.0
    try:
        return float(ntplib.NTPClient().request(server, version=_VERSION, timeout=_TIMEOUT_SECONDS).offset)
    except (ntplib.NTPException, OSError, socket.gaierror) as error:
        _LOG.warning(
            "the NTP server %s does not answer (%s); times are this machine's. Name another with --ntp-server, or leave "
            "--time-source out",
            server,
            error,
        )
        return 0.0
