"""Who may ask: on loopback anyone of this machine, beyond it whoever knows the token."""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
from collections.abc import Iterable
from pathlib import Path

from sparkweave.errors import ConfigError
from sparkweave.serving.refusal import Refusal

TOKEN_VARIABLE = "SPARKWEAVE_TOKEN"  # noqa: S105 - its name, not a token
_LEAST_TOKEN = 16
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^:]*)(:\d{1,5})?")
_TOKEN = re.compile(r"[\x21-\x7e]+")

Headers = Iterable[tuple[bytes, bytes]]


class Access:
    """The rule, for one service."""

    def __init__(self, token: str | None) -> None:
        """``token`` is what a client has to know; without one, the service must listen on loopback alone."""
        self._expected = None if token is None else b"bearer " + token.encode()

    @property
    def needs_token(self) -> bool:
        """Whether a client has to know one."""
        return self._expected is not None

    def check_host(self, headers: Headers) -> None:
        """Without a token: refuses a page of the web that reaches this machine by a name of its own (DNS rebinding).

        Raises:
            Refusal: if the Host header names another host than this one.
        """
        if self._expected is not None:
            return
        host = _header(headers, b"host").decode("latin-1")
        match = _HOST.fullmatch(host)
        if match is None or not is_loopback_name(match["name"]):
            raise Refusal(
                421, f"the Host header is {host[:80]!r}; without a token only localhost is answered: start with a token"
            )

    def check_token(self, headers: Headers) -> None:
        """Compares in constant time.

        Raises:
            Refusal: if a token is needed, and the Authorization header has another one, or none.
        """
        if self._expected is None:
            return
        scheme, _, token = _header(headers, b"authorization").partition(b" ")
        if not hmac.compare_digest(scheme.lower() + b" " + token.strip(), self._expected):
            raise Refusal(
                401,
                "the token is missing or wrong; send the header Authorization: Bearer TOKEN",
                headers={"www-authenticate": "Bearer"},
            )


def read_token(file: str | None) -> str | None:
    """The token in a file, or in the environment; None if there is neither.

    Raises:
        ConfigError: if it can't be read, or is too easy to guess.
    """
    if file is None:
        return _checked(token, TOKEN_VARIABLE) if (token := os.environ.get(TOKEN_VARIABLE)) else None
    try:
        content = Path(file).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the token in {file} can't be read ({error}); give a text file with one line") from error
    return _checked(content.strip(), file)


def check_exposure(host: str, addresses: Iterable[str], token: str | None) -> None:
    """Raises ConfigError if a service without a token would listen beyond loopback."""
    if token is None and not all(ipaddress.ip_address(address).is_loopback for address in addresses):
        raise ConfigError(
            f"--host {host} is reached from other machines, and there is no token; give one in --token-file or"
            f" {TOKEN_VARIABLE} (such as of `openssl rand -hex 32`), or listen on 127.0.0.1"
        )


def is_loopback_name(name: str) -> bool:
    """Whether a Host header's name is this machine.

    >>> is_loopback_name("localhost"), is_loopback_name("[::1]"), is_loopback_name("evil.example")
    (True, True, False)
    """
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _checked(token: str, origin: str) -> str:
    if len(token) < _LEAST_TOKEN or not _TOKEN.fullmatch(token):
        raise ConfigError(
            f"the token in {origin} has {len(token)} characters, or spaces or characters beyond ASCII; the rule is at"
            f" least {_LEAST_TOKEN} printable ones: make one with `openssl rand -hex 32`"
        )
    return token


def _header(headers: Headers, name: bytes) -> bytes:
    return next((value for found, value in headers if found == name), b"")
