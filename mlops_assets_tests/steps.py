"""Listeners for tests: to progress, and to the stages of a model version."""

from __future__ import annotations

from mlops_assets.models.lifecycle import Reporter
from mlops_assets.progress import Step


class Steps(list[Step]):
    """Keeps the pieces of work that were reported."""

    def begin(self, step: Step) -> None:
        self.append(step)

    def end(self, step: Step) -> None:
        assert step in self


class Unheard(Reporter):
    """Drops what is reported."""

    def __exit__(self, *error: object) -> None:
        pass
