"""A service on a free port of this machine, in a thread of this process, as long as it is needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.errors import ResourceError
from sparkweave.serving.access import Access
from sparkweave.serving.limits import Limits
from sparkweave.serving.model import ServedModel
from sparkweave.serving.server import Address, Server, listen, url_of
from sparkweave.serving.service import Service

_START_SECONDS = 60.0


@contextmanager
def served(artifact: ModelArtifact, *, allow_code: bool = False) -> Iterator[str]:
    """The URL of a service of ``artifact``, on loopback.

    Raises:
        ArtifactError: if the model can't be served.
        ResourceError: if the service doesn't start.
    """
    model = ServedModel.of(artifact, name="model", version="1", allow_code=allow_code)
    listener = listen(Address(host="127.0.0.1", port=0), None)
    started = threading.Event()
    server = Server(Service("model", limits=Limits(), model=model), Access(None), started=started.set)
    thread = threading.Thread(target=server.run, args=([listener],), name="sparkweave-serve", daemon=True)
    thread.start()
    try:
        if not started.wait(_START_SECONDS):
            raise ResourceError(
                f"the service did not start within {_START_SECONDS:.0f} s; this machine is busy: try again"
            )
        yield url_of(listener)
    finally:
        server.end()
        thread.join()
        listener.close()
