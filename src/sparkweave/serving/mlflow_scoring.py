"""MLflow's scoring protocol: ``/ping``, ``/version`` and ``/invocations`` in JSON.

Source: https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally, "Inference Server Specification".
"""

from __future__ import annotations

import functools
from typing import Any

from sparkweave._version import __version__
from sparkweave.serving.calls import Answer, Call
from sparkweave.serving.documents import parse_object
from sparkweave.serving.inputs import Rows
from sparkweave.serving.model import ServedModel
from sparkweave.serving.refusal import Refusal, invalid, short
from sparkweave.serving.service import Files, Service, rows_of

_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_TEXT = b"text/plain; charset=utf-8"


async def ping(service: Service, _call: Call) -> Answer:
    """A model is served."""
    return Answer(b"\n", status=200 if service.model is not None else 503)


async def version(_service: Service, _call: Call) -> Answer:
    """Of sparkweave, which stands here where MLflow's would."""
    return Answer(__version__.encode(), content_type=_TEXT)


async def invocations(service: Service, call: Call) -> Answer:
    """A prediction a row."""
    model = service.served()
    kind = call.header(b"content-type").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(415, f"the Content-Type is {kind[:80]!r}; send application/json")
    async with service.bodies.receive(call.scope, call.receive) as body:
        parse = functools.partial(_parse, service, body)
        outputs = await service.predict(model, parse, body_bytes=len(body), receive=call.receive)
    return Answer.json({"predictions": model.outputs.describe(outputs)})


def _parse(service: Service, body: bytes, model: ServedModel) -> Files | Rows:
    document = parse_object(body, service.limits)
    forms = [name for name in _FORMS if name in document]
    if len(forms) != 1 or document.keys() - {*forms, "params"}:
        keys = ", ".join(sorted(document))[:80] or "none"
        raise invalid(f"the JSON has the keys {keys}", f"send exactly one of {', '.join(_FORMS)}")
    if document.get("params"):
        raise invalid("params are given", "the model has none: leave them out")
    return rows_of(model, _items(forms[0], document[forms[0]], model))


def _items(form: str, value: Any, model: ServedModel) -> Any:
    """The rows; a table of one column has them in its cells."""
    if form == "dataframe_split":
        data = value.get("data") if isinstance(value, dict) else None
        if not isinstance(data, list) or not all(isinstance(row, list) for row in data):
            raise invalid(f"dataframe_split is {short(value)} without rows in data", "send columns and data")
        return [_cell(row) for row in data]
    if form == "dataframe_records":
        if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
            raise invalid(f"dataframe_records is {short(value)}", "send a list of objects")
        names = list(value[0]) if value else []
        if any(record.keys() != set(names) for record in value):
            raise invalid(
                "the records differ in their columns",
                "send the same columns in each; the first record gives their order",
            )
        return [_cell([record[name] for name in names]) for record in value]
    if isinstance(value, dict):
        if len(value) != 1:
            raise invalid(f"{form} has {len(value)} tensors", f"the model takes one, {model.inputs.kind}")
        return next(iter(value.values()))
    return value


def _cell(row: list[Any]) -> Any:
    return row[0] if len(row) == 1 and isinstance(row[0], str | list) else row
