"""People who sign in at a certified issuer with Chromium, and what their pages may then do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import delete, select, update
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from mlops_assets.registry import BrowserSession, Registry
from mlops_assets.registry.store import now
from mlops_assets_tests.hub.browsing import Browsing, browsing, served_hub
from mlops_assets_tests.hub.sign_in.project.definitions import PROBES
from mlops_assets_tests.servers.oidc_provider import SECRET, oidc_people

pytestmark = pytest.mark.browser
# cores may be busy with other tests
expect.set_options(timeout=30_000)
PROJECT = "mlops_assets_tests.hub.sign_in.project.definitions"

IDENTITY = """
issuer: {issuer}
audience: mlops
roles:
  - claim: roles
    values: {{science: scientist, look: viewer, visit: guest}}
sign_in:
  client_id: hub/secret
  client_secret: {{variable: HUB_SECRET}}
  scopes: [openid]
"""


@dataclass(frozen=True)
class Served:
    """A hub with an issuer."""

    url: str
    issuer: str
    registry: Registry
    folder: Path

    def saved(self) -> list[tuple[str, str]]:
        """Return what the page has written, and for whom."""
        return [(row[0], row[2]) for row in self.registry.landed(PROBES)]

    def end_sessions(self) -> None:
        """End all sessions as time does."""
        ended = update(BrowserSession).values(seen=now() - timedelta(hours=2))
        with self.registry.transaction("end sessions") as session:
            session.execute(ended)

    def sessions(self) -> int:
        """Return how many sessions there are."""
        with self.registry.reading() as session:
            return len(session.scalars(select(BrowserSession)).all())

    @property
    def log(self) -> str:
        """The log of the hub."""
        return (self.folder / "hub.log").read_text()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("hub")
    with oidc_people(folder / "issuer.log") as issuer:
        (folder / "identity.yaml").write_text(IDENTITY.format(issuer=issuer))
        environment = {"MLOPS_IDENTITY": str(folder / "identity.yaml"), "HUB_SECRET": SECRET}
        options = ("--no-dagster", "--module", PROJECT)
        with served_hub(folder, *options, environment=environment) as url:
            registry = Registry(f"sqlite:///{folder / 'workspace' / 'registry.db'}")
            yield Served(url, issuer, registry, folder)
            registry.close()


@pytest.fixture(autouse=True)
def no_rows(served: Served) -> None:
    with served.registry.transaction("clean up") as session:
        session.execute(delete(BrowserSession))


@pytest.fixture
def browser() -> Iterator[Browsing]:
    with browsing() as found:
        yield found


def sign_in(
    browser: Browsing,
    served: Served,
    name: str,
    path: str = "/probe",
    frames: list[str] | None = None,
) -> Page:
    """Sign in; `frames` gets what the page sends to the hub from then on."""
    page = browser.open(served.url + path)
    if frames is not None:
        page.on("websocket", lambda ws: ws.on("framesent", lambda sent: frames.append(str(sent))))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(served.url + path)
    return page


def save(page: Page, text: str) -> None:
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_role("button", name="Save").click()


def cookie(page: Page, served: Served) -> str:
    port = served.url.rpartition(":")[2]
    jar = {each["name"]: each for each in page.context.cookies(served.url)}
    found = jar[f"mlops_session_{port}"]
    assert (found["httpOnly"], found["sameSite"]) == (True, "Lax")
    return f"{found['name']}={found['value']}"


def test_one_signs_in_lands_where_one_wanted_and_signs_out(
    served: Served, browser: Browsing
) -> None:
    page = sign_in(browser, served, "ann.science", "/probe?tab=a%20b")
    expect(page.get_by_text("ann.science").first).to_be_attached()
    expect(page.get_by_text("scientist").first).to_be_attached()
    save(page, "first")
    expect(page.get_by_text("saved first for ann.science")).to_be_visible()
    secret = cookie(page, served).partition("=")[2]
    other = page.context.new_page()
    other.goto(f"{served.url}/sign-out")
    other.get_by_role("button", name="Sign out").click()
    other.wait_for_url(f"{served.issuer}/session/end?*")
    other.get_by_role("button", name="Yes").click()
    other.wait_for_url(f"{served.url}/sign-in")
    assert served.sessions() == 0
    # the page that was open has no connection any more, and so leads to signing in
    page.wait_for_url(f"{served.url}/sign-in?*")
    for canary in (secret, "code=", "state=", SECRET):
        assert canary not in served.log


def test_what_was_entered_outlives_the_session(served: Served, browser: Browsing) -> None:
    page = sign_in(browser, served, "ann.science")
    page.get_by_label("Text", exact=True).fill("kept")
    served.end_sessions()
    page.wait_for_timeout(5_500)  # for which a session is known without reading it
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Sign in again in another tab").first).to_be_visible()
    # what is entered now is not lost either
    page.get_by_label("Text", exact=True).fill("kept too")
    assert "kept" not in str(served.saved())
    browser.wrong.clear()  # the browser reports the 401 of a session that is not there
    other = page.context.new_page()
    other.goto(f"{served.url}/probe")
    other.get_by_role("button", name="Sign in").click()
    other.wait_for_url(f"{served.url}/probe")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("saved kept too for ann.science")).to_be_visible()


def test_a_page_continues_for_the_same_person_only(served: Served, browser: Browsing) -> None:
    page = sign_in(browser, served, "ann.science")
    page.get_by_label("Text", exact=True).fill("of ann")
    page.context.clear_cookies()
    other = page.context.new_page()
    other.goto(f"{served.url}/probe")
    other.get_by_role("button", name="Sign in").click()
    other.get_by_label("Name").fill("eve.science")
    other.get_by_role("button", name="Continue").click()
    other.wait_for_url(f"{served.url}/probe")
    with served.registry.transaction("end a session") as session:
        session.execute(delete(BrowserSession).where(BrowserSession.name == "ann.science"))
    page.wait_for_timeout(5_500)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Sign in again in another tab").first).to_be_visible()
    assert "of ann" not in str(served.saved())
    browser.wrong.clear()  # the browser reports the 403


def test_a_viewer_is_refused_on_the_server(served: Served, browser: Browsing) -> None:
    before = served.saved()
    page = sign_in(browser, served, "vic.look")
    save(page, "by a viewer")
    expect(page.get_by_text("this needs the role scientist")).to_be_visible()
    headers = {"Cookie": cookie(page, served), "Origin": served.url}
    body = {"model": "m", "data": "fields@v1", "declared": {"task": "classification"}}
    refused = httpx.post(f"{served.url}/api/v1/runs", json=body, headers=headers)
    assert refused.status_code == 403 and refused.json()["error"] == "Forbidden"
    assert served.saved() == before


def test_a_guest_opens_pages(served: Served, browser: Browsing) -> None:
    page = sign_in(browser, served, "gus.visit")
    save(page, "by a guest")
    expect(page.get_by_text("this needs the role scientist")).to_be_visible()


def socket_url(served: Served, client: str, tab: str) -> str:
    query = {
        "client_id": client,
        "tab_id": tab,
        "document_id": tab,
        "next_message_id": 0,
        "implicit_handshake": "true",
        "EIO": 4,
        "transport": "websocket",
    }
    return f"ws{served.url.removeprefix('http')}/_nicegui_ws/socket.io/?{urlencode(query)}"


def client_of(page: Page) -> str:
    found = page.evaluate("window.clientId")
    assert isinstance(found, str)
    return found


def answers(socket: Any, sent: list[str]) -> list[str]:
    """Open a Socket.IO connection, send messages, and return what comes within a second."""
    assert str(socket.recv(5)).startswith("0")
    socket.send("40")
    found = [str(socket.recv(5))]
    for message in sent:
        socket.send(message)
    try:
        while True:
            text = str(socket.recv(1))
            if text != "2":
                found.append(text)
    except TimeoutError:
        return found


def test_a_socket_acts_on_its_own_page_only(served: Served, browser: Browsing) -> None:
    frames: list[str] = []
    ann = sign_in(browser, served, "ann.science", frames=frames)
    vic = sign_in(browser, served, "vic.look")
    save(ann, "open")
    expect(ann.get_by_text("saved open for ann.science")).to_be_visible()
    # what the button sends
    pressed = [frame for frame in frames if frame.startswith('42["event"')][-1:]
    ann.get_by_label("Text", exact=True).fill("not to be saved by others")
    stolen = {"Cookie": cookie(vic, served)}
    # with the page of somebody else
    other = socket_url(served, client_of(ann), "t")
    with connect(other, origin=Origin(served.url), additional_headers=stolen) as socket:
        assert answers(socket, pressed)[0].startswith("44")
    # from a page of one's own
    own = socket_url(served, client_of(vic), vic.evaluate("sessionStorage.__nicegui_tab_id"))
    with connect(own, origin=Origin(served.url), additional_headers=stolen) as socket:
        assert answers(socket, pressed)[0].startswith("40")
    assert "not to be saved by others" not in str(served.saved())
    # the page itself could do it
    ann.get_by_role("button", name="Save").click()
    expect(ann.get_by_text("saved not to be saved by others")).to_be_visible()


def test_a_socket_needs_a_session_and_our_own_page(served: Served, browser: Browsing) -> None:
    ann = sign_in(browser, served, "ann.science")
    sent = {"Cookie": cookie(ann, served)}
    url = socket_url(served, client_of(ann), "t")
    for origin, headers in (
        ("http://evil.example", sent),
        (f"http://127.0.0.1:{served.issuer.rpartition(':')[2]}", sent),
        (None, sent),
        (served.url, {}),
        (served.url, {"Cookie": sent["Cookie"] + "x"}),
    ):
        with (
            pytest.raises(InvalidStatus, match="403"),
            connect(url, origin=Origin(origin) if origin else None, additional_headers=headers),
        ):
            pass
        if origin:
            headers = {**headers, "Origin": origin}
        polling = url.replace("ws:", "http:").replace("transport=websocket", "transport=polling")
        if origin is not None:
            assert httpx.get(polling, headers=headers).status_code in (401, 403)


def test_a_page_of_another_site_does_nothing(served: Served, browser: Browsing) -> None:
    ann = sign_in(browser, served, "ann.science")
    evil = ann.context.new_page()
    # another port of this machine: cookies are sent along
    evil.goto(f"{served.issuer}/.well-known/openid-configuration")
    statuses: dict[str, int] = {}
    ann.context.on("response", lambda r: statuses.update({r.request.url: r.status}))
    evil.evaluate(
        """async (hub) => {
            const sent = {method: 'POST', mode: 'no-cors', credentials: 'include'};
            await fetch(hub + '/api/v1/models/m/1/approve', {...sent, body: '{"reason": "x"}'});
            await fetch(hub + '/sign-out', sent);
            await fetch(hub + '/session/attach', sent);
            await fetch(hub + '/stac/collections', {credentials: 'include', mode: 'no-cors'});
            return await new Promise((done) => {
                const socket = new WebSocket(hub.replace('http', 'ws') + '/_nicegui_ws/socket.io/');
                socket.onopen = () => done('open');
                socket.onerror = () => done('refused');
            }).then((state) => { if (state !== 'refused') throw new Error(state); });
        }""",
        served.url,
    )
    refused = {path: statuses[served.url + path] for path in ("/sign-out", "/session/attach")}
    assert refused == {"/sign-out": 403, "/session/attach": 403}
    assert statuses[f"{served.url}/api/v1/models/m/1/approve"] == 403
    save(ann, "still here")
    expect(ann.get_by_text("saved still here for ann.science")).to_be_visible()


def test_a_text_with_a_script_does_not_run_it(served: Served, browser: Browsing) -> None:
    page = sign_in(browser, served, "ann.science")
    state = page.evaluate(
        """() => {
            const script = document.createElement('script');
            script.textContent = 'window.injected = true';
            document.body.append(script);
            const markup = document.createElement('div');
            markup.innerHTML = '<img src="/nothing.png" onerror="window.injected = true">';
            document.body.append(markup);
            return new Promise((done) => setTimeout(() => done(window.injected), 500));
        }"""
    )
    assert state is None
    assert any("Content Security Policy" in line for line in browser.wrong)
    browser.wrong.clear()
