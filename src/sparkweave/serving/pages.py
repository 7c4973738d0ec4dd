"""The page for people, and what it asks for: three files without any data in them, and one JSON document behind the token."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

from sparkweave._version import __version__
from sparkweave.serving.calls import Answer, Call
from sparkweave.serving.service import Service

_TYPES = {".html": b"text/html; charset=utf-8", ".js": b"text/javascript; charset=utf-8", ".css": b"text/css"}
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self';"
    b" base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def file(name: str, _service: Service, _call: Call) -> Answer:
    """One of the page's files."""
    return Answer(
        _content(name), content_type=_TYPES[name[name.rindex(".") :]], headers=[(b"content-security-policy", _POLICY)]
    )


async def card(service: Service, _call: Call) -> Answer:
    """What there is to say of the model."""
    watcher = service.watcher
    document: dict[str, Any] = {
        "name": service.name,
        "server": f"sparkweave {__version__}",
        "refused": dict(watcher.refused) if watcher else {},
        "unreachable": watcher.unreachable if watcher else None,
        "most_images": service.limits.images,
        "served": None,
    }
    model = service.model
    if model is not None:
        document["served"] = {
            "version": model.version,
            "digest": model.digest,
            "kind": model.inputs.kind,
            "shape": model.inputs.shape,
            "task": model.outputs.task,
            **model.outputs.names(),
            "facts": dict(model.facts),
            "confusion": model.confusion,
        }
    return Answer.json(document)


@functools.cache
def _content(name: str) -> bytes:
    return resources.files("sparkweave.serving").joinpath("page", name).read_bytes()
