"""Listening on a port: any, or one of a range that a firewall lets through."""

from __future__ import annotations

import errno
import os
import socket

from sparkweave.distributed.network import Ports, show_ports
from sparkweave.errors import ResourceError

_NOT_TO_BE_HAD = (errno.EADDRINUSE, errno.EACCES)


def listen(address: str, ports: Ports | None) -> socket.socket:
    """A socket that listens on the first free port of a range, or on one that the system chooses.

    Raises:
        ResourceError: if no port of the range can be had, or ``address`` is not one of this machine's.
    """
    first, last = ports or (0, 0)
    reason = None
    for port in range(first, last + 1):
        try:
            return socket.create_server((address, port))
        except OSError as error:
            reason = error
            if error.errno not in _NOT_TO_BE_HAD:
                break
    raise ResourceError(_explained(address, ports, reason)) from reason


def _explained(address: str, ports: Ports | None, reason: OSError | None) -> str:
    host, number = socket.gethostname(), (reason.errno if reason else None) or 0
    why = os.strerror(number) if number > 0 else str(reason)  # a name server's errors have other numbers
    if ports is None or number not in _NOT_TO_BE_HAD:
        return f"host {host} can't listen on the address {address}: {why}; for the driver, spark.driver.bindAddress names another"
    return (
        f"none of the ports {show_ports(ports)} can be had on {address} of host {host}: {why}. A host needs one for each worker that "
        "runs there at a time, and the driver's one more; give a wider --port"
    )
