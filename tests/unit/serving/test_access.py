from __future__ import annotations

from pathlib import Path

import pytest

from sparkweave.errors import ConfigError
from sparkweave.serving.access import TOKEN_VARIABLE, check_exposure, read_token

TOKEN = "0123456789abcdef"


def test_a_token_is_read_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert read_token(None) is None
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert read_token(str(file)) == TOKEN
    monkeypatch.setenv(TOKEN_VARIABLE, "another-long-enough-token")
    assert read_token(None) == "another-long-enough-token"
    assert read_token(str(file)) == TOKEN, "what is asked for wins"


@pytest.mark.parametrize("content", ["short", "two words that are long", "\N{SNOWMAN}" * 20, ""])
def test_a_token_that_is_none_is_refused_without_being_shown(tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    with pytest.raises(ConfigError) as refused:
        read_token(str(file))
    assert not content or content not in str(refused.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        read_token(str(tmp_path / "none"))


def test_beyond_loopback_a_token_is_needed() -> None:
    check_exposure("localhost", ["127.0.0.1", "::1"], None)
    check_exposure("0.0.0.0", ["0.0.0.0"], TOKEN)
    for address in ("0.0.0.0", "192.168.1.5", "::"):
        with pytest.raises(ConfigError, match="there is no token; give one in --token-file"):
            check_exposure("host", [address], None)
