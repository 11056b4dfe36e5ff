"""Checks of a workspace: that it is reached, what may be done in it, its clock, its transport."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

from mlops_assets.errors import StorageError
from mlops_assets.paths import PROBES, probe_key
from mlops_assets.settings import Settings, store_endpoints
from mlops_assets.storage import Workspace
from mlops_assets.text.secret_urls import redacted
from mlops_assets.upkeep.doctor.finding import WARNING, Finding, clock, is_this_machine


def examine_workspace(settings: Settings) -> Iterator[Finding]:
    """Yield whether a workspace can be reached, written, read, listed and cleaned up.

    A small object is written under a key of its own, and removed again.

    Args:
        settings: name the workspace.

    Raises:
        StorageError: it cannot be opened.
    """
    workspace = Workspace(settings.workspace, settings.cache)
    yield from _transport(settings.workspace)
    key, content = probe_key(secrets.token_hex(8)), secrets.token_bytes(16)
    before = datetime.now(UTC)
    denied = []
    try:
        workspace.put(key, content)
    except StorageError as error:
        denied.append(("write", error))
    after = datetime.now(UTC)
    is_written = not denied
    moment: datetime | None = None
    if is_written:
        try:
            moment = workspace.written(key)
            if workspace.get(key) != content:
                yield Finding("workspace", False, f"{workspace.where(key)} is read as other bytes")
        except StorageError as error:
            denied.append(("read", error))
    try:
        if key not in workspace.list(PROBES) and is_written and not denied:
            yield Finding(
                "workspace", False, f"{workspace.where(key)} was written and is not listed"
            )
    except StorageError as error:
        denied.append(("list", error))
    if is_written:
        try:
            workspace.remove(key)
            workspace.remove_folder(PROBES)
        except StorageError as error:
            denied.append(("delete", error))
    for right, refused in denied:
        yield Finding(
            "workspace", False, f"{settings.workspace}: cannot {right}: {redacted(str(refused))}"
        )
    if not denied:
        yield Finding("workspace", True, f"{settings.workspace}: write, read, list, delete")
    # seconds are all that some stores keep
    if moment is not None and not workspace.is_local:
        yield clock("clock of the workspace", moment, before.replace(microsecond=0), after)


def _transport(url: str) -> Iterator[Finding]:
    for name, endpoint in store_endpoints(urlsplit(url).scheme).items():
        if endpoint.startswith("http://") and not is_this_machine(endpoint):
            yield Finding(
                "TLS of the workspace",
                True,
                f"{WARNING}{name}={redacted(endpoint)}: whoever is on the way reads all data"
                " and can change it; use https://, with MLOPS_CA_BUNDLE for an authority of your"
                " own",
            )
