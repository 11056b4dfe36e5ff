"""The model versions that a caller may see, as the registry decides, remembered for seconds."""

from __future__ import annotations

import time

from mlops_assets.errors import NotFound
from mlops_assets.names import Reference
from mlops_assets.principals import Principal
from mlops_assets.registry import Registry
from mlops_assets.registry.visibility import sees_all

# a changed visibility has its effect until then
KEPT_SECONDS = 5.0
MAX_KEPT = 10_000


class VisibleVersions:
    """The model versions that callers may see."""

    def __init__(self, registry: Registry) -> None:
        """Ask a registry."""
        self._registry = registry
        self._kept: dict[tuple[Principal, str, str | None], tuple[float, bool]] = {}
        self._asked: dict[tuple[Principal, str], float] = {}

    def sees(self, principal: Principal, model: str, version: str | None) -> bool:
        """Return whether a principal may see a version of a model that is served.

        Args:
            principal: who asks.
            model: name of the model.
            version: of the model; any of them if None.

        Raises:
            StorageError: the registry cannot be read.
        """
        if sees_all(principal):
            return True
        key = (principal, model, version)
        now = time.monotonic()
        until, seen = self._kept.get(key, (0.0, False))
        if until < now:
            seen = self._ask(*key)
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
                self._asked.clear()
            self._kept[key] = (now + KEPT_SECONDS, seen)
            self._asked[principal, model] = now + KEPT_SECONDS
        return seen

    def remembers(self, principal: Principal, model: str) -> bool:
        """Return whether the registry was asked of a model so lately that it is not now."""
        return sees_all(principal) or self._asked.get((principal, model), 0.0) > time.monotonic()

    def _ask(self, principal: Principal, model: str, version: str | None) -> bool:
        try:
            self._registry.acting(principal).model_version(Reference(model, version))
        except NotFound:
            return False
        return True
