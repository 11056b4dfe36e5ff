"""Whole journeys on `mlops up`: people who sign in, Dagster's real daemon, and 30,000 runs."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from benchmarks.hub_runs import filled
from benchmarks.run_listing import RUNS
from mlops_assets.datasets.commit.commit import commit
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests import interpreter
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.hub.browsing import Browsing, browsing
from mlops_assets_tests.servers.oidc_provider import SECRET, oidc_people
from mlops_assets_tests.servers.processes import free_port
from mlops_assets_tests.training.example_trainers import HERE, lifecycle, model_specification

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

# cores may be busy with other tests, and a run of Dagster takes seconds to begin
RUN_ENDS_WITHIN = 120_000
SEEN_WITHIN = 5_000

MODEL = {
    "trainer": f"{HERE}:patient",
    "params": {"steps": 5},
    "gates": [{"metric": "accuracy", "min": 0.5}],
    "approval": {"required": True, "own_work": False},
}
PROJECT = f"""
from mlops_assets_tests.components.project import definitions

defs = definitions(name="crops", **{MODEL})
"""
IDENTITY = """
issuer: {issuer}
audience: mlops
roles:
  - claim: roles
    values: {{science: scientist, decide: approver, look: viewer}}
sign_in:
  client_id: hub/secret
  client_secret: {{variable: HUB_SECRET}}
  scopes: [openid]
"""
MUTATION = 'mutation { terminateRun(runId: "x") { __typename } }'


@dataclass(frozen=True)
class Served:
    """A workspace, and the URL that `mlops up` has printed."""

    url: str
    store: Store


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A data version, a model version, very many runs, and a second landing."""
    folder = tmp_path_factory.mktemp("journeys")
    store = _workspace(folder)
    (folder / "journeys_project.py").write_text(PROJECT)
    with oidc_people(folder / "issuer.log") as issuer:
        (folder / "identity.yaml").write_text(IDENTITY.format(issuer=issuer))
        environment = {
            **os.environ,
            "MLOPS_WORKSPACE": str(folder / "workspace"),
            "MLOPS_IDENTITY": str(folder / "identity.yaml"),
            "HUB_SECRET": SECRET,
            "PYTHONPATH": f"{folder}:{Path(__file__).parents[2]}",
        }
        port = free_port()
        command = ["mlops", "up", "--module", "journeys_project", "--port", str(port)]
        with interpreter.Process(command, folder, environment) as up:
            up.wait_for_output("Ctrl-C ends it", 240)
            (url,) = re.findall(r"http://\S+", up.out)
            yield Served(url, store)
            up.send_signal(signal.SIGTERM)
            assert up.wait(120) == 0, up.err


def _workspace(folder: Path) -> Store:
    root = folder / "workspace"
    store = Store(
        Workspace(root.as_uri()),
        Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester")),
    )
    landed = root / "landing/fields/samples.csv"
    landed.parent.mkdir(parents=True)
    crops_table(200).to_csv(landed, index=False)
    commit(store.workspace, store.registry, table_specification())
    lifecycle(store, model_specification(**MODEL), recorded=True)
    filled(store.registry.url, RUNS).close()
    crops_table(300).to_csv(landed, index=False)
    return store


@pytest.fixture
def browser() -> Iterator[Browsing]:
    with browsing() as found:
        yield found


def signed_in(browser: Browsing, served: Served, name: str, path: str) -> Page:
    """Open a page in a browser of its own, and sign in as somebody."""
    page = browser.open(served.url + path)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(served.url + path)
    return page


def decide(page: Page, verb: str, reason: str) -> None:
    """Press the button of a decision, enter a reason, and confirm it."""
    page.get_by_role("button", name=f"{verb}…", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Reason").fill(reason)
    dialog.get_by_role("button", name=verb, exact=True).click()
    dialog.wait_for(state="hidden")


def test_what_has_landed_is_committed_and_its_quality_is_read(
    served: Served, browser: Browsing
) -> None:
    page = signed_in(browser, served, "ann.science", "/data/fields?tab=landing")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("a commit makes a new version")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Commit", exact=True).click()
    page.wait_for_url("**/launched/**", timeout=30_000)
    expect(page.get_by_text("It has succeeded.")).to_be_visible(timeout=RUN_ENDS_WITHIN)

    page.get_by_role("link", name="fields", exact=True).click()
    page.get_by_role("link", name="v2", exact=True).first.click()
    page.get_by_role("link", name="Quality").click()
    # it is assessed by a run of its own, whose end is seen without reloading
    page.get_by_role("link", name="Full report as JSON").wait_for(timeout=RUN_ENDS_WITHIN)
    assert served.store.registry.data_versions("fields")[-1].created_by == "ann.science"


def test_a_training_is_started_compared_approved_by_another_and_promoted(
    served: Served, browser: Browsing
) -> None:
    ann = signed_in(browser, served, "ann.science.decide", "/data/fields@v1")
    ann.get_by_role("link", name="Train on it").click()
    ann.get_by_label("steps", exact=True).fill("7")
    ann.get_by_label("Note", exact=True).fill("two more steps")
    ann.get_by_role("button", name="Start training").click()
    ann.wait_for_url("**/runs/*", timeout=RUN_ENDS_WITHIN)
    expect(ann.get_by_text("two more steps", exact=True)).to_be_visible()
    made = ann.get_by_role("link", name=re.compile("^crops@v1-"))
    made.wait_for(timeout=RUN_ENDS_WITHIN)
    version = made.inner_text().partition("@")[2]
    run_id = ann.url.rpartition("/")[2]
    assert served.store.registry.run(run_id).created_by == "ann.science.decide"

    ann.goto(f"{served.url}/runs?where=model%20%3D%20'crops'")
    expect(ann.locator(".run-bar p")).to_have_text("2 runs")
    boxes = ann.locator(".ag-selection-checkbox input")
    boxes.nth(0).check()
    boxes.nth(1).check()
    ann.get_by_role("button", name="Compare 2").click()
    ann.get_by_role("heading", name="Compare runs").wait_for()
    expect(ann.get_by_role("region", name="Metrics").last).to_contain_text("accuracy")

    # two people on one page
    path = f"/models/crops@{version}"
    ann.goto(served.url + path)
    bob = signed_in(browser, served, "bob.decide", path)
    # its last stage
    bob.get_by_text("recorded", exact=True).wait_for(timeout=RUN_ENDS_WITHIN)
    bob.get_by_text("waits for approval").first.wait_for()
    expect(ann.get_by_role("button", name="Approve…")).to_be_disabled()
    decide(bob, "Approve", "the curve is flat")
    expect(ann.get_by_role("cell", name="the curve is flat")).to_be_visible(timeout=SEEN_WITHIN)
    decide(ann, "Promote", "season starts")
    in_production = bob.locator(".hub-state", has_text="production")
    expect(in_production).to_be_visible(timeout=SEEN_WITHIN)
    assert served.store.registry.aliases("crops") == {"production": version}


def test_very_many_runs_are_filtered_sorted_and_reached_to_the_last(
    served: Served, browser: Browsing
) -> None:
    page = signed_in(browser, served, "ann.science", "/runs?model=model_1&sort=-macro_f1")
    total = page.locator(".run-bar p")
    expect(total).to_have_text(f"{RUNS // 5:,} runs")
    page.locator(".ag-body-viewport").evaluate("body => body.scrollTo(0, body.scrollHeight)")
    last = page.locator(
        f".ag-center-cols-container [row-index='{RUNS // 5 - 1}'] [col-id='macro_f1']"
    )
    expect(last).to_have_text(re.compile(r"^(0\.000|[0-9.]+e-)"))
    box = page.get_by_role("textbox", name="Filter")
    box.fill("macro_f1 > 0.999 and params.optimizer = 'sgd'")
    box.press("Enter")
    expect(total).to_have_text(re.compile(r"^\d runs?$"))


def test_a_viewer_may_look_and_change_nothing(served: Served, browser: Browsing) -> None:
    page = signed_in(browser, served, "vic.look", "/train?model=crops")
    expect(page.get_by_role("button", name="Start training")).to_be_disabled()
    expect(page.get_by_text("needs the role scientist").first).to_be_visible()
    page.goto(f"{served.url}/data/fields?tab=landing")
    expect(page.get_by_role("button", name="Commit", exact=True)).to_be_disabled()
    (row, *_) = served.store.registry.model_versions("crops")
    page.goto(f"{served.url}/models/crops@{row.version}")
    for verb in ("Approve", "Reject", "Promote", "Deprecate", "Visibility"):
        expect(page.get_by_role("button", name=f"{verb}…")).to_be_disabled()

    # past the buttons, with the session of the browser
    before = served.store.registry.aliases("crops")
    own = {"Origin": served.url}
    training = {"model": "crops", "data": "fields@v1"}
    for path, body in (
        ("/api/v1/trainings", training),
        ("/api/v1/datasets/fields/commits", {}),
        (f"/api/v1/models/crops/{row.version}/promote", {"alias": "candidate", "reason": "x"}),
        ("/dagster/graphql", {"query": MUTATION}),
    ):
        refused = page.request.post(served.url + path, data=body, headers=own)
        assert refused.status == 403, (path, refused.text())
    assert served.store.registry.aliases("crops") == before
