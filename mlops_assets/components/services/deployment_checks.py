"""The checks of a deployment: `served` by a server, and `files_intact`; both only warn.

They can be evaluated again on their own at any time.
"""

from __future__ import annotations

import dagster as dg

from mlops_assets.components.naming import check_results
from mlops_assets.integrations.deployment.kinds import FILES, SERVED, WITH_FILES, WITH_SERVER
from mlops_assets.serving.specification import ServiceSpecification
from mlops_assets.settings import Settings
from resources import StoreResource


def deployment_checks(
    specification: ServiceSpecification, asset: dg.AssetKey
) -> list[dg.AssetChecksDefinition]:
    """Return the checks that the engine of a service has.

    Args:
        specification: of the service.
        asset: its deployment.
    """
    found = []
    if specification.engine in WITH_SERVER:
        found.append(_served(specification, asset))
    if specification.engine in WITH_FILES:
        found.append(_files(specification, asset))
    return found


def _served(specification: ServiceSpecification, asset: dg.AssetKey) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name=SERVED,
        description=f"The server at {specification.url} serves the file that is deployed.",
    )
    def served(store: StoreResource) -> dg.AssetCheckResult:
        from mlops_assets.integrations.deployment.served import served_check

        token = Settings.from_environment().api_token
        (result,) = check_results([served_check(store.open().registry, specification, token)])
        return result

    return served


def _files(specification: ServiceSpecification, asset: dg.AssetKey) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name=FILES,
        description="The files of the deployment are as they were written.",
    )
    def files_intact(store: StoreResource) -> dg.AssetCheckResult:
        from mlops_assets.integrations.deployment.served import files_check

        (result,) = check_results([files_check(store.open().registry, specification)])
        return result

    return files_intact
