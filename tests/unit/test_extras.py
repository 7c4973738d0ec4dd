from __future__ import annotations

import pytest

from sparkweave.errors import ConfigError
from sparkweave.extras import require_extra


def test_what_is_there_is_enough() -> None:
    require_extra("some", "json", "email", what="this")


def test_what_is_missing_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(ConfigError) as raised:
        require_extra("some", "json", "no_such_package", what="this")
    assert str(raised.value) == (
        "this needs no_such_package, which this Python doesn't have: pip install 'sparkweave[some]'"
    )
