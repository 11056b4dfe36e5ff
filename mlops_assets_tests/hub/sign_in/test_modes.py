"""Who gets in, by address and settings."""

from __future__ import annotations

import pytest

from mlops_assets.errors import SettingsError
from mlops_assets.hub.sign_in.modes import Mode, mode_of

LOCAL, ALL = "127.0.0.1", "0.0.0.0"


@pytest.mark.parametrize(
    ("host", "people", "programs", "open_", "pages", "mode"),
    [
        (LOCAL, False, False, False, True, Mode.OPEN),
        ("::1", False, False, False, True, Mode.OPEN),
        # whoever has set up tokens may have a proxy before this address
        (LOCAL, False, True, False, True, Mode.PROGRAMS),
        (LOCAL, False, True, True, True, Mode.OPEN),
        (LOCAL, True, True, False, True, Mode.PEOPLE),
        (ALL, True, True, False, True, Mode.PEOPLE),
        (ALL, False, True, False, False, Mode.PROGRAMS),
        (ALL, True, True, False, False, Mode.PROGRAMS),
        (LOCAL, False, False, False, False, Mode.PROGRAMS),
    ],
)
def test_a_hub_is_open_to_its_own_machine_only(
    host: str, people: bool, programs: bool, open_: bool, pages: bool, mode: Mode
) -> None:
    assert mode_of(host, people, programs, open_, pages) is mode


@pytest.mark.parametrize(
    ("host", "people", "programs", "open_", "reason"),
    [
        (ALL, False, False, False, "no sign-in is configured.*--no-pages"),
        (ALL, False, True, False, "no sign-in is configured"),
        ("192.0.2.1", False, True, False, "no sign-in is configured"),
        (ALL, False, False, True, "--open lets everybody in"),
        (LOCAL, True, True, True, "leaves out the sign-in"),
    ],
)
def test_others_get_in_by_sign_in_only(
    host: str, people: bool, programs: bool, open_: bool, reason: str
) -> None:
    with pytest.raises(SettingsError, match=reason):
        mode_of(host, people, programs, open_, pages=True)
