"""``POST /predict``: one or many images, as files or as JSON."""

from __future__ import annotations

import functools
from typing import Any

from sparkweave.serving.calls import Answer, Call
from sparkweave.serving.documents import parse_object
from sparkweave.serving.inputs import Rows
from sparkweave.serving.limits import Limits
from sparkweave.serving.model import ServedModel
from sparkweave.serving.multipart import boundary_of, parts_of
from sparkweave.serving.refusal import Refusal, invalid
from sparkweave.serving.service import Files, Service, rows_of

_FILES = ("image/png", "image/jpeg", "application/octet-stream")


async def predict(service: Service, call: Call) -> Answer:
    """The class, and the probability of each class, for every image of the request, in its order."""
    model = service.served()
    content_type = call.header(b"content-type")
    async with service.bodies.receive(call.scope, call.receive) as body:
        parse = functools.partial(found_in, body, content_type, service.limits)
        outputs = await service.predict(model, parse, body_bytes=len(body), receive=call.receive)
    return Answer.json(
        {
            "model": model.name,
            "version": model.version,
            **model.outputs.names(),
            "predictions": model.outputs.describe(outputs),
        }
    )


def found_in(body: bytes, content_type: str, limits: Limits, model: ServedModel) -> Files | Rows:
    """The rows, or the encoded images, in a body.

    Raises:
        Refusal: if there are none, or they are malformed.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return [part.content for part in parts_of(body, boundary_of(content_type), at_most=limits.images)]
    if kind == "application/json":
        return _found_in_document(parse_object(body, limits), model)
    if kind in _FILES:
        return [body] if body else []
    raise Refusal(
        415,
        f"the Content-Type is {content_type[:80]!r}; send multipart/form-data, application/json, image/png or image/jpeg",
    )


def _found_in_document(document: dict[str, Any], model: ServedModel) -> Files | Rows:
    one, many = model.inputs.kind, f"{model.inputs.kind}s"
    if len(document) != 1 or not document.keys() <= {one, many}:
        keys = ", ".join(sorted(document))[:80] or "none"
        raise invalid(f"the JSON has the keys {keys}", f'send {{"{one}": ...}} or {{"{many}": [...]}}')
    return rows_of(model, document[many] if many in document else [document[one]])
