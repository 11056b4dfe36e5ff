"""The model card for people: what is declared and measured, in Markdown and as a page."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.versions.summary import Summary
from mlops_assets.models.applicability.measure import publish_applicability
from mlops_assets.models.approval.decisions import approve
from mlops_assets.models.evaluation.card_page import card_page
from mlops_assets.models.evaluation.current_card import card_figures, current_card
from mlops_assets.models.promotion import promote
from mlops_assets.models.record import sign_recorded
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store
from mlops_assets_tests.models.signing.keys import make_key, sign_with, trust
from mlops_assets_tests.services import require_program
from mlops_assets_tests.test_browser import CHROMIUM
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

Land = Callable[..., Commit]
HOSTILE = "<script>alert(1)</script> [x](javascript:alert(1)) ![y](https://x.example/a.png) | `z`"


class Page(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def declared(**card: Any) -> ModelSpecification:
    return model_specification(title=HOSTILE, description=HOSTILE, card=card)


def published(store: Store, row: ModelVersion, ending: str) -> str:
    key = f"{model_folder(row.model, row.version)}/model-card.{ending}"
    return store.workspace.get(key).decode()


def test_what_people_declare_is_text_in_both_forms(store: Store, land_table: Land) -> None:
    land_table()
    texts = {name: [HOSTILE] for name in ("intended_use", "misuse", "limitations")}
    row = lifecycle(store, declared(**texts))
    page = Page(published(store, row, "html"))
    # title, heading, description, and the three lists
    assert page.text.count(HOSTILE) == 6
    tags = {tag for tag, _ in page.elements}
    assert tags & {"script", "a", "iframe", "link", "form"} == set()
    attributes = {name for _, own in page.elements for name in own}
    assert attributes <= {"lang", "charset", "name", "content", "http-equiv", "src", "alt"}
    images = [str(own["src"])[:22] for tag, own in page.elements if tag == "img"]
    assert images == ["data:image/png;base64,"] * 2
    card = published(store, row, "md")
    assert r"\<script\>" in card and "](javascript" not in card.replace(r"\]", "")


def test_the_card_names_what_is_not_declared_and_how_to_reproduce(
    store: Store, land_table: Land
) -> None:
    data = land_table().version
    row = lifecycle(store, model_specification(description=""))
    card = published(store, row, "md")
    for missing in ("`card.intended_use`", "`card.misuse`", "`card.limitations`", "`description`"):
        assert f"declare {missing}" in card
    assert "in `applicability.json` beside it, if that was measured" in card
    assert f"`mlops model reproduce crops@{row.version}`" in card
    assert "| class | train | validation | test | in no split |" in card
    for own in Summary.open(store.workspace, store.registry, Reference("fields")).facts.classes:
        assert f"| {own.name} | {own.train} | {own.validation} | {own.test} | 0 |" in card
    assert data.digest in card and "scikit-learn " in card


def test_headings_of_annex_iv_have_the_same_content_and_claim_nothing(
    store: Store, land_table: Land
) -> None:
    land_table()
    texts = {"intended_use": ["statistics of regions"], "misuse": ["single farms"]}
    plain = published(store, lifecycle(store, declared(**texts)), "md")
    ordered = published(store, lifecycle(store, declared(**texts, annex_iv=True)), "md")
    assert "Annex IV" not in plain
    assert "This is no claim that the documentation is complete" in ordered
    for number in range(1, 10):
        assert f"\n## {number}. A" in ordered or f"\n## {number}. Detailed" in ordered
    headings = {line.lstrip("#") for line in plain.splitlines() if line.startswith("## ")}
    assert headings <= {line[3:] for line in ordered.splitlines() if line.startswith("### ")}
    assert ordered.index("statistics of regions") < ordered.index("## 2.")


def test_the_card_of_today_has_aliases_gates_decisions_and_signatures(
    store: Store, land_table: Land, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_table()
    specification = model_specification(gates=[{"metric": "accuracy", "min": 0.5}])
    row = lifecycle(store, specification, recorded=True)
    before = published(store, row, "md")
    assert "It was never promoted" in current_card(store, row)
    assert "Not measured. Nothing states which inputs" in current_card(store, row)
    found = publish_applicability(store, row).measured
    assert found is not None and found.test is not None
    card = current_card(store, row)
    assert f"| outside | {found.test.outside:.1%} of {found.test.samples} test samples |" in card
    assert f"| {found.threshold:.3f} | " in card.partition("expected error rate")[2]
    assert "The version has 0 signature(s)." in current_card(store, row)
    make_key(tmp_path, "a")
    sign_with(monkeypatch, tmp_path, "a")
    (signature, _) = sign_recorded(store, row)
    store.registry.decide(row, "approved", "too early", {})
    approve(store, row, specification.approval, HOSTILE)
    promote(store, row, specification.gates, reason="better in dry years")
    trust(monkeypatch, tmp_path, {"name": "release", "file": "a.pub"})
    card = current_card(store, row)
    assert card.startswith(before)
    assert "| aliases | production |" in card
    assert f"| accuracy ≥ 0.5 | passed | {row.metrics['accuracy']:.4f} | better in dry" in card
    early = "| approved; model.onnx, metrics.json was replaced since | tester | too early |"
    assert early in card and "| approved | tester | \\<script" in card
    name = Path(signature.path).name.partition(".")[0]
    assert f"| {name} | release | valid |" in card
    assert published(store, row, "md") == before
    page = Page(card_page(card, card_figures(store, row)))
    assert all(own["src"] for tag, own in page.elements if tag == "img")
    assert page.text.count(HOSTILE) == 1


@pytest.mark.browser
def test_the_page_fits_a_phone_and_asks_for_nothing(
    store: Store, land_table: Land, tmp_path: Path
) -> None:
    from playwright.sync_api import sync_playwright

    chromium = require_program("chromium", "chromium")
    land_table()
    row = lifecycle(store, declared(misuse=[HOSTILE, "x" * 300], annex_iv=True))
    path = tmp_path / "card.html"
    path.write_text(published(store, row, "html"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=CHROMIUM)
        page = browser.new_page(viewport={"width": 360, "height": 800})
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("dialog", lambda dialog: problems.append(dialog.message))
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url[:5]))
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert all(page.evaluate("[...document.images].map(own => own.naturalWidth > 0)"))
        browser.close()
    assert problems == []
    assert set(requests) <= {"file:", "data:"}
