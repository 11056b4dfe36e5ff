"""Scenes by their days of acquisition, UTC."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date

from mlops_assets.prediction.scenes.found import FoundScene


@dataclass(frozen=True)
class ScenesByDay:
    """Scenes that were listed, not read.

    Attributes:
        days: day of acquisition (UTC) → its scenes, oldest first.
        undated: scenes whose day is unknown.
    """

    days: dict[date, list[FoundScene]]
    undated: list[FoundScene]

    @classmethod
    def of(cls, scenes: Sequence[FoundScene]) -> ScenesByDay:
        """Return scenes by their days."""
        days: dict[date, list[FoundScene]] = {}
        undated = []
        for scene in scenes:
            if scene.acquired is None:
                undated.append(scene)
            else:
                days.setdefault(scene.acquired.astimezone(UTC).date(), []).append(scene)
        return cls(dict(sorted(days.items())), undated)

    def digest(self, day: date) -> str:
        """Return a digest of the listing of a day: another if a scene is new, gone or changed."""
        entries = sorted(
            json.dumps([scene.name, scene.href, scene.size, scene.item], sort_keys=True)
            for scene in self.days.get(day, [])
        )
        return hashlib.sha256("\n".join(entries).encode()).hexdigest()
