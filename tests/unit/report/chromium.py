"""A headless Chromium on a pipe, told what to do in its own DevTools protocol: no driver, no port, no further package.

The protocol: https://chromedevtools.github.io/devtools-protocol/. Each message is JSON and ends in a zero byte.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",  # root has none, and the page is ours
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)
# Chromium reads from descriptor 3 and writes to 4.
_START = """
import fcntl, os, sys
reads, writes = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 5) for number in sys.argv[1:3])
os.dup2(reads, 3), os.dup2(writes, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
_SILENCE_SECONDS = 60.0


def find_chromium() -> str | None:
    """The program that ``CHROMIUM`` names, or one in the path."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One page: what it asked for and complained of so far."""

    def __init__(self, chromium: Chromium, session: str) -> None:
        self._chromium = chromium
        self._session = session
        self.requests: list[str] = []
        self.complaints: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        return self._chromium.call(method, session=self._session, **parameters)

    def evaluate(self, expression: str) -> Any:
        """What a JavaScript expression gives, as plain data."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description", expression))
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Waits for a JavaScript expression to become true."""
        script = f"""new Promise((done, fail) => {{
          let left = 3000;
          const look = () => ({expression}) ? done() : left-- ? setTimeout(look, 20) : fail(new Error("never"));
          look();
        }})"""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"never became true: {expression}")

    def press(self, key: str, *, text: str = "") -> None:
        """A key, down and up; ``text`` is what it types."""
        code = {"Tab": 9, "Enter": 13, " ": 32, "Delete": 46, "ArrowRight": 39, "ArrowDown": 40}.get(key, 0)
        typed = {"text": text} if text else {}
        for kind in ("keyDown", "keyUp"):
            options = typed if kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **options)

    def screenshot(self, path: Path) -> None:
        """The whole page as a PNG."""
        image = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(image["data"]))

    def heard(self, event: dict[str, Any]) -> None:
        """Keeps what the browser tells of this page."""
        parameters = event["params"]
        match event["method"]:
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(parameters)[:500])
            case "Log.entryAdded":
                self.complaints.append(parameters["entry"]["text"])


class Chromium:
    """A running browser; see `chromium`."""

    def __init__(self, sends: int, receives: int) -> None:
        self._sends, self._receives = sends, receives
        self._waiting = b""
        self._number = 0
        self._pages: dict[str, Page] = {}

    def open(self, where: Path | str, *, width: int, height: int = 900, dark: bool = False) -> Page:
        """Loads a file, or a URL, in a viewport of this size."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Network", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        page.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        page.call("Page.navigate", url=where if isinstance(where, str) else where.resolve().as_uri())
        self._wait_for("Page.loadEventFired", session)
        return page

    def call(self, method: str, *, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        content = json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0"
        while content:
            content = content[os.write(self._sends, content) :]
        while (answer := self._next()).get("id") != self._number:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _wait_for(self, method: str, session: str) -> None:
        while True:
            message = self._next()
            if (message.get("method"), message.get("sessionId")) == (method, session):
                return

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._waiting:
            ready, _, _ = select.select([self._receives], [], [], _SILENCE_SECONDS)
            content = os.read(self._receives, 1 << 20) if ready else b""
            if not content:
                raise RuntimeError(f"Chromium {'ended' if ready else f'said nothing for {_SILENCE_SECONDS:.0f} s'}")
            self._waiting += content
        line, _, self._waiting = self._waiting.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        page = self._pages.get(message.get("sessionId", ""))
        if page is not None and "method" in message:
            page.heard(message)
        return message


@contextlib.contextmanager
def chromium(program: str) -> Iterator[Chromium]:
    """A browser with an empty profile, ended with the context."""
    their_input, our_output = os.pipe()
    our_input, their_output = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        arguments = [str(their_input), str(their_output), program, *_OPTIONS, f"--user-data-dir={profile}"]
        process = subprocess.Popen(
            [sys.executable, "-c", _START, *arguments],
            pass_fds=(their_input, their_output),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(their_input)
        os.close(their_output)
        try:
            yield Chromium(our_output, our_input)
        finally:
            os.close(our_output)  # which ends it
            os.close(our_input)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
