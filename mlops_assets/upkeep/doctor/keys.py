"""Checks of the keys that sign models, and what runs are launched for others with."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_assets.errors import SettingsError, SignatureRefused
from mlops_assets.identity.delegation import KEY_FILE, delegation_key
from mlops_assets.models.signing.bundle import Bundle, sign
from mlops_assets.models.signing.keys import SigningKey
from mlops_assets.models.signing.trust import Trust
from mlops_assets.settings import Settings
from mlops_assets.upkeep.doctor.finding import WARNING, Finding

_OTHERS = 0o077  # rights of a file beyond its owner's


def examine_keys(settings: Settings) -> Iterator[Finding]:
    """Yield whether keys can be used, and who else could.

    Args:
        settings: name the key of delegations.

    Raises:
        StorageError: the file of the key of delegations cannot be used.
    """
    yield from _signing()
    path = settings.dagster_home / KEY_FILE
    if settings.delegation_key is not None:
        yield Finding("delegation key", True, "of MLOPS_DELEGATION_KEY")
    elif not path.exists():
        yield Finding("delegation key", True, f"{path} is made with the first run of the hub")
    elif path.stat().st_mode & _OTHERS:
        yield Finding(
            "delegation key",
            False,
            f"{path} can be used by others, who can then act for anybody: remove it, and start the"
            " hub again",
        )
    else:
        delegation_key(None, settings.dagster_home)
        yield Finding("delegation key", True, f"{path}, which only its owner may read")
    if settings.launch == "instance" and settings.delegation_key is None:
        yield Finding(
            "delegation key",
            True,
            f"{WARNING}runs in other pods cannot read {path}: set MLOPS_DELEGATION_KEY for the hub"
            " and the runs",
        )


def _signing() -> Iterator[Finding]:
    """Yield whether the key that signs models, and the keys that are trusted, can be used."""
    try:
        key, trust = SigningKey.configured(), Trust.configured()
        if trust is not None:
            demanded = "required" if trust.required else "not required"
            yield Finding("trust", True, f"{trust.path}: signatures of models are {demanded}")
        if key is not None:
            named = f"sha256 {key.fingerprint[:12]}…"
            if trust is not None:
                named += f", trusted as {trust.signer_of(Bundle.read(sign({}, key)))}"
            yield Finding("signing key", True, named)
    except SignatureRefused as error:
        yield Finding("signing key", False, f"a signature with it {error}")
    except SettingsError as error:
        yield Finding("signing", False, str(error))
