"""The Open Inference Protocol (version 2 of KServe's, Triton's and MLServer's): health, metadata, inference, in JSON.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md. Its binary extension isn't spoken.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from sparkweave._version import __version__
from sparkweave.serving.calls import Answer, Call
from sparkweave.serving.documents import parse_object
from sparkweave.serving.inputs import Rows
from sparkweave.serving.model import ServedModel
from sparkweave.serving.refusal import Refusal, invalid, short
from sparkweave.serving.service import Files, Service, rows_of

_NUMBERS = ("UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP32", "FP64")
_LABELS = "label"


async def live(_service: Service, _call: Call) -> Answer:
    """The process answers."""
    return Answer.json({"live": True})


async def ready(service: Service, _call: Call) -> Answer:
    """A model is served."""
    is_ready = service.model is not None
    return Answer.json({"ready": is_ready}, status=200 if is_ready else 503)


async def server_metadata(_service: Service, _call: Call) -> Answer:
    """What this server is."""
    return Answer.json({"name": "sparkweave", "version": __version__, "extensions": []})


async def model_metadata(service: Service, call: Call) -> Answer:
    """What the model takes and gives."""
    model = _named(service, call)
    inputs = [
        {"name": model.inputs.kind, "datatype": model.inputs.datatype, "shape": [-1, *model.inputs.shape]},
    ]
    outputs = [{"name": model.outputs.name, "datatype": "FP32", "shape": [-1, model.outputs.width]}]
    if model.outputs.classifies:
        outputs.append({"name": _LABELS, "datatype": "BYTES", "shape": [-1]})
    return Answer.json(
        {
            "name": model.name,
            "versions": [model.version],
            "platform": "pytorch_sparkweave",
            "inputs": inputs,
            "outputs": outputs,
        }
    )


async def model_ready(service: Service, call: Call) -> Answer:
    """The model with this name is served."""
    model = _named(service, call)
    return Answer.json({"name": model.name, "ready": True})


async def infer(service: Service, call: Call) -> Answer:
    """Inference: one tensor of rows in, one of outputs and one of labels out."""
    model = _named(service, call)
    if call.header(b"inference-header-content-length"):
        raise invalid("the request is in the binary extension", "send JSON")
    seen: dict[str, Any] = {}
    async with service.bodies.receive(call.scope, call.receive) as body:
        parse = functools.partial(_parse, service, body, seen)
        outputs = await service.predict(model, parse, body_bytes=len(body), receive=call.receive)
    document = {"model_name": model.name, "model_version": model.version, "outputs": _tensors(model, outputs, seen)}
    if "id" in seen:
        document["id"] = seen["id"]
    return Answer.json(document)


def _named(service: Service, call: Call) -> ServedModel:
    """The model that the path names.

    Raises:
        Refusal: if another one is served.
    """
    model = service.served()
    name, version = call.scope["path_params"]["name"], call.scope["path_params"].get("version")
    if name != model.name or version not in (None, model.version):
        asked = name if version is None else f"{name}, version {version}"
        raise Refusal(404, f"there is no model {asked[:140]}; {model.name}, version {model.version}, is served")
    return model


def _parse(service: Service, body: bytes, seen: dict[str, Any], model: ServedModel) -> Files | Rows:
    document = parse_object(body, service.limits)
    if "id" in document:
        if not isinstance(document["id"], str) or len(document["id"]) > 256:
            raise invalid(f"the id is {short(document['id'])}", "send a text of at most 256 characters")
        seen["id"] = document["id"]
    seen["outputs"] = _asked(document.get("outputs"), model)
    tensors = document.get("inputs")
    if not isinstance(tensors, list) or len(tensors) != 1 or not isinstance(tensors[0], dict):
        raise invalid(f"inputs is {short(tensors)}", f"send a list of one tensor, {model.inputs.kind}")
    return _rows(model, tensors[0])


def _asked(outputs: Any, model: ServedModel) -> list[str]:
    """Names of the outputs that the client wants."""
    known = [model.outputs.name, *([_LABELS] if model.outputs.classifies else [])]
    if outputs in (None, []):
        return known
    names = [one.get("name") for one in outputs if isinstance(one, dict)] if isinstance(outputs, list) else []
    if not names or not all(name in known for name in names) or len(names) != len(outputs):
        raise invalid("outputs names what the model does not give", f"ask for {' and '.join(known)}")
    return [name for name in known if name in names]


def _rows(model: ServedModel, tensor: dict[str, Any]) -> Files | Rows:
    name, datatype, shape, data = (tensor.get(key) for key in ("name", "datatype", "shape", "data"))
    if name != model.inputs.kind:
        raise invalid(f"the tensor's name is {short(name)}", f"the model takes {model.inputs.kind}")
    if not isinstance(shape, list) or not 1 <= len(shape) <= 8 or not all(type(n) is int and n >= 0 for n in shape):
        raise invalid(f"the tensor's shape is {short(shape)}", "send a list of whole numbers")
    if not isinstance(data, list):
        raise invalid(f"the tensor's data is {short(data)}", "send a list")
    if datatype == "BYTES":
        if shape not in ([len(data)], [len(data), 1]) or not all(isinstance(item, str) for item in data):
            raise invalid("the tensor is not so many texts", "send images in base64, with the shape [images]")
        return rows_of(model, data)
    if datatype not in _NUMBERS:
        raise invalid(f"the tensor's datatype is {short(datatype)}", f"send {model.inputs.datatype} or BYTES")
    return _shaped(model, data, shape)


def _shaped(model: ServedModel, data: list[Any], shape: list[int]) -> Rows:
    """Data that may come flat, in the shape that goes with it."""
    try:
        numbers = np.asarray(data)
    except (ValueError, OverflowError) as error:
        raise invalid("the tensor's lists differ in length", "send them flat, or nested as the shape says") from error
    if numbers.size != math.prod(shape):
        raise invalid(f"the tensor has {numbers.size:,} numbers", f"its shape {shape} asks for {math.prod(shape):,}")
    return model.inputs.from_values(numbers.reshape(shape))


def _tensors(model: ServedModel, outputs: npt.NDArray[np.float32], seen: dict[str, Any]) -> list[dict[str, Any]]:
    tensors: list[dict[str, Any]] = []
    for name in seen["outputs"]:
        if name == _LABELS:
            labels = [model.outputs.labels[index] for index in outputs.argmax(axis=1).tolist()]
            tensors.append({"name": name, "datatype": "BYTES", "shape": [len(labels)], "data": labels})
        else:
            shape = list(outputs.shape)
            tensors.append({"name": name, "datatype": "FP32", "shape": shape, "data": outputs.ravel().tolist()})
    return tensors
