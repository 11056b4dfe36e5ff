"""Verification of the registry.

Its log is a whole chain, its tables have the rows that the log leaves, and the mirror is the log.

Problems are returned as text, and never stop the verification. Files and documents are verified
elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from mlops_assets.paths import log_entry_key
from mlops_assets.registry.log.mirror import mirrored
from mlops_assets.registry.log.replay import (
    Replayed,
    attempt,
    differences,
    entries_of,
    guarded,
    replay,
)
from mlops_assets.registry.store import Registry
from mlops_assets.storage import Workspace, sha256_of


@dataclass
class VerifiedLog:
    """The content of the log, and everything in the registry or the mirror that differs."""

    log: Replayed = field(default_factory=Replayed)
    problems: list[str] = field(default_factory=list)


def verify_log(workspace: Workspace, registry: Registry, since: int = 0) -> VerifiedLog:
    """Replay the log, and compare all tables and the mirror with it.

    Entries that a killed process has not mirrored are mirrored.

    Args:
        workspace: has the mirror of the log.
        registry: the registry to verify.
        since: entries up to this one were found mirrored, and the points that they state as logged,
            when everything was verified last; their objects must exist, but are not read again.
    """
    found = VerifiedLog()

    def compared() -> Iterator[str]:
        with registry.snapshot() as connection:
            found.log = replay(entries_of(connection))
            yield from found.log.problems
            yield from differences(connection, found.log, since)

    # first the mirror: an entry is in the registry before it is there
    keys = attempt(found.problems, "the mirror of the log", partial(mirrored, workspace))
    found.problems += guarded("the registry", compared)
    found.problems += guarded(
        "the mirror of the log", lambda: _mirror_problems(workspace, registry, found, keys, since)
    )
    found.problems += guarded("staged files", lambda: _staged_problems(workspace, registry))
    return found


def _staged_problems(workspace: Workspace, registry: Registry) -> Iterator[str]:
    """Yield staged files that differ from what was published at their path."""
    for path, content in registry.staged().items():
        published = registry.files_at(path)
        if (
            not published
            or not workspace.exists(content)
            or workspace.stat(content).sha256 == published[0].sha256
        ):
            continue
        if path in registry.staged():  # it has not been moved to its place meanwhile
            yield (
                f"{content} is staged for {path}, and differs from what was published there;"
                " remove it"
            )


def _mirror_problems(
    workspace: Workspace, registry: Registry, found: VerifiedLog, keys: list[str], since: int
) -> Iterator[str]:
    entries = {log_entry_key(seq): seq for seq in found.log.heads}
    there = {entries[key] for key in keys if key in entries}
    for key in keys:
        if key not in entries:
            yield (
                f"{key} is not an entry of the registry's log; it was added, or the registry is an"
                " older one"
            )
    known = max(found.log.mirrored, registry.mirror.newest if registry.mirror else 0, *there, 0)
    for seq, sha256 in found.log.heads.items():
        if seq > known:
            break
        if seq in there or workspace.exists(log_entry_key(seq)):  # written since they were listed
            if seq > since:
                yield from guarded(
                    log_entry_key(seq), partial(_mirrored_problems, workspace, seq, sha256)
                )
        else:
            yield f"{log_entry_key(seq)} is missing from {workspace.url}; restore it from a backup"
    if found.log.seq > known:
        _complete(registry, found.log.seq)


def _mirrored_problems(workspace: Workspace, seq: int, sha256: str) -> Iterator[str]:
    if sha256_of(workspace.get(log_entry_key(seq))) != sha256:
        yield (
            f"{log_entry_key(seq)} is not entry {seq} of the registry's log; one of them was"
            " changed"
        )


def _complete(registry: Registry, newest: int) -> None:
    """Mirror the newest entries, which a killed process has not."""
    if registry.mirror is not None:
        (text,) = registry.log_texts(newest, newest)
        registry.mirror.write(newest, text, registry.log_texts)
