"""What the service says no with: a status, and a sentence with the value, the rule and the remedy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class Refusal(Exception):
    """A request that isn't answered; the message goes to the client, and nothing else does.

    Attributes:
        status: Of HTTP.
        retry_seconds: When it is worth another try, or None.
        headers: Further ones of the answer.
    """

    def __init__(
        self, status: int, message: str, *, retry_seconds: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_seconds = retry_seconds
        self.headers = dict(headers or {})
        if retry_seconds is not None:
            self.headers["retry-after"] = str(retry_seconds)


def error_document(message: str) -> bytes:
    """``{"error": message}``."""
    return json.dumps({"error": message}).encode()


def invalid(what: str, rule: str) -> Refusal:
    """A request whose content breaks a rule."""
    return Refusal(400, f"{what}; {rule}")


def short(value: Any) -> str:
    """A stranger's value for a message: never long, never deep."""
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:59] + "…")
    if isinstance(value, bool | int | float) or value is None:
        return repr(value)[:60]
    return f"a {type(value).__name__}"
