"""Pages of models in the browser: reading, deciding, and what others change meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

from mlops_assets.models.gates.outcomes import GateOutcome, publish_outcomes
from mlops_assets.paths import model_folder
from mlops_assets.principals import Principal, Role
from mlops_assets.store import Store
from mlops_assets_tests.hub.browsing import browsing, served_hub
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

pytestmark = pytest.mark.browser

PROJECT = """
from mlops_assets_tests.components.project import definitions

defs = definitions(name="crops", gates=[], approval={"required": True})
"""
HOSTILE = "<img src=x onerror=alert(1)> wählte 作物"


def in_dialog(page: Page, opener: str, reason: str, verb: str) -> None:
    """Open a dialog, enter a reason, and press its button."""
    page.get_by_role("button", name=opener, exact=True).click()
    page.get_by_role("dialog").get_by_role("textbox", name="Reason").fill(reason)
    page.get_by_role("dialog").get_by_role("button", name=verb, exact=True).click()


def close_notification(page: Page) -> None:
    """Close the only notification; it fades out."""
    button = page.get_by_role("button", name="Close")
    button.click()
    button.wait_for(state="detached")


def test_a_version_is_read_decided_on_by_two_people_and_verified(
    store: Store, tmp_path: Path
) -> None:
    row = lifecycle(store, model_specification(), recorded=True, depth=4)
    publish_outcomes(store, row, [GateOutcome("accuracy ≥ 0.5", True, 0.8, 0.5)])
    ann = store.acting(Principal("ann", frozenset({Role.APPROVER})))
    (tmp_path / "deciding.py").write_text(PROJECT)
    paths = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[3]}"}
    with (
        served_hub(tmp_path, "--module", "deciding", environment=paths) as url,
        browsing() as browser,
    ):
        page = browser.open(f"{url}/models")
        page.get_by_role("link", name="crops", exact=True).click()
        page.get_by_role("link", name=row.version).click()
        page.get_by_text("waits for approval").first.wait_for()

        # refused by the approval that is missing; what was entered stays
        in_dialog(page, "Promote…", "season starts", "Promote")
        notified = page.locator(".q-notification")
        notified.get_by_text("is protected and was not moved").wait_for()
        dialog = page.get_by_role("dialog")
        assert dialog.get_by_role("textbox", name="Reason").input_value() == "season starts"
        dialog.get_by_role("button", name="Cancel").click()
        dialog.wait_for(state="hidden")
        close_notification(page)

        # another user moves an alias while the dialog is open
        page.get_by_role("button", name="Approve…").click()
        page.get_by_role("textbox", name="Reason").fill(HOSTILE)
        ann.registry.promote(row, [], "baseline")
        page.locator(".hub-state", has_text="baseline").wait_for()
        page.get_by_role("dialog").get_by_role("button", name="Approve").click()
        notified.get_by_text(f"baseline is {row.version}, moved by ann, was not set").wait_for()
        assert page.get_by_role("textbox", name="Reason").input_value() == HOSTILE
        page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        page.get_by_role("dialog").wait_for(state="hidden")
        close_notification(page)

        in_dialog(page, "Approve…", HOSTILE, "Approve")
        page.get_by_role("cell", name=HOSTILE).wait_for()
        assert page.locator("img").count() == 0
        page.get_by_role("dialog").wait_for(state="hidden")
        in_dialog(page, "Promote…", "season starts", "Promote")
        page.locator(".hub-state", has_text="production").wait_for()

        onnx = store.workspace.root / model_folder("crops", row.version) / "model.onnx"
        onnx.chmod(0o644)
        onnx.write_bytes(onnx.read_bytes() + b"x")
        page.get_by_role("link", name="Chain").click()
        page.get_by_role("button", name="Verify").click()
        broken = page.locator(".hub-node-broken")
        broken.get_by_text("model.onnx: its bytes are not those that were published").wait_for()
        assert broken.count() == 1 and page.locator(".hub-node-verified").count() == 4
    assert store.registry.aliases("crops") == {"baseline": row.version, "production": row.version}
