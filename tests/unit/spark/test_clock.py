"""By which clock events are timed."""

from __future__ import annotations

import socket
import struct
import threading
import time

import ntplib
import pytest

from sparkweave.spark.clock import clock_offset

UDP = (socket.AF_INET, socket.SOCK_DGRAM)


def test_the_system_clock_needs_no_server() -> None:
    assert clock_offset("system", "no.such.server.invalid") == 0.0


def test_an_ntp_server_tells_how_far_the_clock_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(*UDP) as server:
        server.bind(("127.0.0.1", 0))

        def answer() -> None:
            request, address = server.recvfrom(512)
            now = time.time() + 100 + ntplib.NTP.NTP_DELTA
            stamp = struct.pack("!II", int(now), int(now % 1 * 2**32))
            server.sendto(
                struct.pack("!BBBb11I", 0x24, 1, 0, 0, *[0] * 11)[:24] + request[40:48] + stamp + stamp, address
            )

        thread = threading.Thread(target=answer)
        thread.start()
        ask = ntplib.NTPClient.request
        port = server.getsockname()[1]
        monkeypatch.setattr(ntplib.NTPClient, "request", lambda *args, **options: ask(*args, port=port, **options))
        assert clock_offset("ntp", "127.0.0.1") == pytest.approx(100, abs=5)
        thread.join()


def test_a_server_that_does_not_answer_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert clock_offset("ntp", "no.such.server.invalid") == 0.0
    assert "the NTP server no.such.server.invalid does not answer" in caplog.text
    assert "--ntp-server" in caplog.text
