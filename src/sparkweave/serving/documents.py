"""JSON from strangers, and JSON for them."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from sparkweave.serving.limits import Limits
from sparkweave.serving.refusal import Refusal, invalid, short

_RULE = "send one JSON object"
_encode = json.JSONEncoder(allow_nan=False, check_circular=False, separators=(",", ":")).encode


def parse_object(body: bytes, limits: Limits) -> dict[str, Any]:
    """The JSON object in ``body``; its depth is bounded by the interpreter's own limit, its size in memory by its brackets.

    Raises:
        Refusal: if it is none, or takes too much memory.
    """
    brackets = body.count(b"[") + body.count(b"{")
    if brackets > limits.json_brackets:
        raise Refusal(
            413, f"the JSON has {brackets:,} lists and objects; at most {limits.json_brackets:,} are read: send files"
        )
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except RecursionError as error:
        raise invalid("the JSON nests too deep", "send it as the documentation shows") from error
    except ValueError as error:
        raise invalid(f"the body is not JSON ({str(error)[:100]})", _RULE) from error
    if not isinstance(value, dict):
        raise invalid(f"the body is {short(value)}", _RULE)
    return value


def to_json(document: Any) -> bytes:
    """``document`` as compact JSON."""
    return _encode(document).encode()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
