"""A listener to progress for tests."""

from __future__ import annotations

from mlops_assets.progress import Step


class Steps(list[Step]):
    """Keeps the pieces of work that were reported."""

    def begin(self, step: Step) -> None:
        self.append(step)

    def end(self, step: Step) -> None:
        assert step in self
