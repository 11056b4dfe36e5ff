"""The form of a training over HTTP."""

from __future__ import annotations

from mlops_assets.store import Store
from mlops_assets_tests.hub.rest.test_openapi import operations, require_documented
from mlops_assets_tests.hub.serving import caller, hub


def test_the_form_responds_as_documented(store: Store) -> None:
    with hub(store) as url, caller(url) as client:
        document = client.get("openapi.json").json()
        _, _, operation = operations(document)["getTrainingForm"]
        answers = {
            path: client.get(f"models/{path}")
            for path in (
                "declared_crops/form",
                "declared_crops/form?data=v9",
                "declared_crops/form?from=0",
                "unknown/form",
                "a%20b/form",
            )
        }
    assert [answer.status_code for answer in answers.values()] == [200, 404, 404, 404, 422]
    for answer in answers.values():
        require_documented(document, operation, answer)
    form = answers["declared_crops/form"].json()
    assert (form["selected"], form["refused"]) == ("v1", "")
