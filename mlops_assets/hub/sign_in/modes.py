"""Kinds of hubs by who gets in, which their address and settings decide."""

from __future__ import annotations

from enum import Enum

from mlops_assets.errors import SettingsError
from mlops_assets.identity.declaration import is_loopback


class Mode(Enum):
    """A kind of hub."""

    OPEN = "one local user, without sign-in"
    PEOPLE = "people who sign in, and programs with tokens"
    PROGRAMS = "programs with tokens; its pages state how to configure sign-in"


def mode_of(host: str, people: bool, programs: bool, open_: bool, pages: bool) -> Mode:
    """Return the kind of a hub.

    Args:
        host: address that it listens on.
        people: whether sign-in of people, or a gateway, is configured.
        programs: whether tokens or a public address are: whoever has them may have a proxy before
            this address, so that it is not for the local user alone.
        open_: whether it is to be open in spite of that.
        pages: whether it is to have pages.

    Raises:
        SettingsError: others would reach it without sign-in, or people without a way in.
    """
    if open_:
        if not is_loopback(host):
            raise SettingsError(
                f"--open lets everybody in who reaches {host}: an open hub listens on this machine"
                " only, with --host 127.0.0.1"
            )
        if people:
            raise SettingsError(
                "--open leaves out the sign-in that is configured: unset MLOPS_GATEWAY, and"
                " 'sign_in' in the file of MLOPS_IDENTITY"
            )
        return Mode.OPEN
    if people:
        return Mode.PEOPLE if pages else Mode.PROGRAMS
    if not pages:
        return Mode.PROGRAMS
    if is_loopback(host):
        return Mode.PROGRAMS if programs else Mode.OPEN
    raise SettingsError(
        f"a hub on {host} is reached by others, and no sign-in is configured: write 'sign_in' into"
        " the file of MLOPS_IDENTITY, or set MLOPS_GATEWAY, see docs/sign-in.md; or serve only the"
        " API, to programs with tokens (MLOPS_API_TOKEN, 'mlops token create'): --no-pages"
    )
