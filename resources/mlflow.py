"""An MLflow server that runs are mirrored to, as a Dagster resource.

It is off unless it is given a server.

What is mirrored is the core's business; the client library is imported only where there is a
server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from mlops_assets.errors import MlopsError
from mlops_assets.extras import needs
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from mlops_assets.store import Store


class MlflowMirror(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Mirrors runs, models and aliases.

    An unreachable server is a warning, as training must not depend on it.
    """

    tracking_uri: str | None = Field(
        default=None,
        description=(
            "URL of the MLflow server; that of MLOPS_MLFLOW if not given. Without, it is off."
        ),
    )

    def run(self, store: Store, run_id: str) -> dict[str, Any]:
        """Mirror a run as far as it has come, if it was started at all.

        Return metadata that says so.
        """

        def mirror(url: str) -> dict[str, Any]:
            from mlops_assets.integrations.mlflow.mirror import mirror_run

            told = mirror_run(store, url, run_id)
            return {
                "mlflow": (
                    dg.MetadataValue.url(told.url) if told.url else f"{told.outcome}: {told.detail}"
                )
            }

        return self._patiently(mirror) if store.registry.runs(run_id=run_id) else {}

    def aliases(self, store: Store, model: str) -> dict[str, Any]:
        """Mirror the aliases of a model; return metadata that says so."""

        def mirror(url: str) -> dict[str, Any]:
            from mlops_assets.integrations.mlflow.mirror import sync_aliases

            problems = sync_aliases(store, url, model)
            if problems:
                dg.get_dagster_logger().warning(
                    "not all aliases are mirrored to MLflow: %s", "; ".join(problems)
                )
            return {"mlflow": "; ".join(problems) or "aliases are mirrored"}

        return self._patiently(mirror)

    def _patiently(self, mirror: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
        overrides = {"MLOPS_MLFLOW": self.tracking_uri} if self.tracking_uri else None
        url = Settings.from_environment(overrides).mlflow
        if url is None:
            return {}
        try:
            with needs("mlflow", "mirroring to MLflow"):
                return mirror(url)
        except (MlopsError, OSError) as error:
            told = f"not mirrored: {error}; 'mlops mlflow sync' catches up"
            dg.get_dagster_logger().warning(told)
            return {"mlflow": told}
