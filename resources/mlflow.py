"""An MLflow server that runs are mirrored to, as a Dagster resource.

It is off unless a server is set.

The core decides what is mirrored; the client library is imported only where there is a server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import dagster as dg
from pydantic import Field

from mlops_assets.errors import MlopsError
from mlops_assets.extras import needs
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from mlops_assets.store import Store

Metadata: TypeAlias = dict[str, dg.UrlMetadataValue | str]


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

    def run(self, store: Store, run_id: str) -> Metadata:
        """Mirror the present state of a run, if it was started at all.

        Returns:
            Metadata with the outcome; empty without a server.
        """

        def mirror(url: str) -> Metadata:
            from mlops_assets.integrations.mlflow.mirror import mirror_run

            mirrored = mirror_run(store, url, run_id)
            if mirrored.url:
                if mirrored.detail:
                    dg.get_dagster_logger().warning("mirrored %s", mirrored.detail)
                return {"mlflow": dg.MetadataValue.url(mirrored.url)}
            return {"mlflow": f"{mirrored.outcome}: {mirrored.detail}"}

        return self._if_enabled(mirror) if store.registry.runs(run_id=run_id) else {}

    def aliases(self, store: Store, model: str) -> Metadata:
        """Mirror the aliases of a model.

        Returns:
            Metadata with the outcome; empty without a server.
        """

        def mirror(url: str) -> Metadata:
            from mlops_assets.integrations.mlflow.mirror import sync_aliases

            problems = sync_aliases(store, url, model)
            if problems:
                dg.get_dagster_logger().warning(
                    "not all aliases are mirrored to MLflow: %s", "; ".join(problems)
                )
            return {"mlflow": "; ".join(problems) or "aliases are mirrored"}

        return self._if_enabled(mirror)

    def _if_enabled(self, mirror: Callable[[str], Metadata]) -> Metadata:
        overrides = {"MLOPS_MLFLOW": self.tracking_uri} if self.tracking_uri else None
        url = Settings.from_environment(overrides).mlflow
        if url is None:
            return {}
        try:
            with needs("mlflow", "mirroring to MLflow"):
                return mirror(url)
        except (MlopsError, OSError) as error:
            message = f"not mirrored: {error}; 'mlops mlflow sync' catches up"
            dg.get_dagster_logger().warning(message)
            return {"mlflow": message}
