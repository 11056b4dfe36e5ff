"""The catalogue of a workspace as the STAC API serves it, read by pystac-client."""

from __future__ import annotations

from pystac_client import Client

from mlops_assets.store import Store
from mlops_assets_tests.hub.serving import TOKEN

HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def test_pystac_client_finds_models_by_framework_and_task(api: str, recorded: Store) -> None:
    client = Client.open(api, headers=HEADERS)
    found = client.search(
        filter="mlm:framework = 'PyTorch' AND A_CONTAINS(mlm:tasks, ('classification'))"
    )
    (item,) = found.items()
    (row,) = recorded.registry.model_versions("cover")
    assert (item.id, item.collection_id) == (f"cover-{row.version}", "cover")
    assert found.matched() == 1
