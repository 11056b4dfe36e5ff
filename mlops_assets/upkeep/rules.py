"""Kinds of files that may become unneeded, and how long each is kept nevertheless."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Kind(StrEnum):
    """Files that may be removed; published ones are of no kind, and never are."""

    OBJECTS = "objects"
    PACKS = "packs"
    CHECKPOINTS = "checkpoints"
    PARTS = "parts of maps"
    STEPS = "step values"
    STAGED = "staged files"


@dataclass(frozen=True)
class Rules:
    """How long files are kept although nothing needs them.

    All are counted from the newest file concerned, or from the end of the run.

    Attributes:
        objects: objects, packs and staged files. A second belt beside the lock of those who store
            objects: releases without that lock may write to the workspace, too.
        succeeded: checkpoints of runs that have succeeded or were pruned, which never resume.
        unfinished: checkpoints of runs that failed or were canceled, which may be resumed.
        parts: parts of maps that were never published; the next attempt continues from them.
        steps: what steps of Dagster's runs handed on; a re-execution from failure reads them.
    """

    objects: timedelta = timedelta(days=1)
    succeeded: timedelta = timedelta(days=7)
    unfinished: timedelta = timedelta(days=90)
    parts: timedelta = timedelta(days=30)
    steps: timedelta = timedelta(days=30)

    def text(self, kind: Kind) -> str:
        """Return the rule of a kind, in words."""
        return {
            Kind.OBJECTS: f"named by nothing that is recorded, {_days(self.objects)}",
            Kind.PACKS: f"named by no data version, {_days(self.objects)}",
            Kind.CHECKPOINTS: (
                f"of runs that succeeded or were pruned, {_days(self.succeeded)}; of runs that"
                f" failed or were canceled, {_days(self.unfinished)}"
            ),
            Kind.PARTS: f"of maps that were not published, {_days(self.parts)}",
            Kind.STEPS: f"of runs that have ended, {_days(self.steps)}",
            Kind.STAGED: f"recorded by no publication, {_days(self.objects)}",
        }[kind]


def _days(kept: timedelta) -> str:
    days = kept / timedelta(days=1)
    return f"older than {days:g} day{'' if days == 1 else 's'}"
