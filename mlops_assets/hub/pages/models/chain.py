"""The chain behind a model version, drawn as columns of nodes with arrows between them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from nicegui import ui

from mlops_assets.hub.pages.caller import perform
from mlops_assets.hub.pages.parts.buttons import button
from mlops_assets.hub.pages.parts.cards import card
from mlops_assets.hub.pages.parts.texts import size, state, text, when
from mlops_assets.hub.views.models.version.chain import Chain, ChainNode
from mlops_assets.hub.views.models.version.verification import verify_chain
from mlops_assets.names import Reference
from mlops_assets.text.secret_urls import redacted

# what uses a version stands in one column
_USES = {"deployment": "use", "map": "use"}


class ShownChain:
    """A chain that its user may verify."""

    def __init__(self, reference: Reference, chain: Chain) -> None:
        self._reference = reference
        with card("Chain", "From the data to what uses the model; each part links to its page."):
            self._body = ui.element("div")
        self._show(chain)

    def _show(self, chain: Chain) -> None:
        self._body.clear()
        with self._body:
            with ui.element("div").classes("hub-row").style("margin-bottom: 12px"):
                self._button = button("Verify", self._verify)
                self._status = text("span", _status(chain), "hub-note")
                self._status.props["role"] = "status"
            with ui.element("div").classes("hub-scroll") as scroll:
                scroll.props.update({"tabindex": 0, "role": "region", "aria-label": "Chain"})
                _draw(chain.nodes)
            for note in chain.notes:
                text("p", note, "hub-note")

    async def _verify(self) -> None:
        self._button.props["disabled"] = True
        self._status.text = "Reading every byte again; this takes as long as reading the data …"
        found = await perform(verify_chain, self._reference)
        if found is not None:
            self._show(found)
            return
        self._button.props.pop("disabled", None)
        self._button.update()
        self._status.text = "It could not be verified."


def _status(chain: Chain) -> str:
    if chain.verified is None:
        return "Not checked since this page was opened."
    broken = sum(node.state == "broken" for node in chain.nodes)
    result = f"{broken} parts are broken" if broken else "all parts are as they were published"
    return (
        f"Verified {when(chain.verified)}: {chain.files:,} files, {size(chain.size)} read;"
        f" {result}."
    )


def _draw(nodes: Sequence[ChainNode]) -> None:
    titles = {node.id: node.title for node in nodes}
    with ui.element("ol").classes("hub-chain"):
        for _, column in groupby(nodes, lambda node: _USES.get(node.kind, node.kind)):
            with ui.element("li"):
                for node in column:
                    _node(node, [titles[before] for before in node.made_from if before in titles])


def _node(node: ChainNode, before: list[str]) -> None:
    with ui.element("div").classes(f"hub-node hub-node-{node.state.replace(' ', '-')}"):
        text("p", node.kind)
        with ui.element("p").classes("hub-node-title"):
            if node.page is None:
                text("span", node.title)
            else:
                ui.link(node.title, node.page)
        for fact in node.facts:
            text("p", fact)
        if before:
            # arrows show it where there is one part on either side
            text("p", f"from {', '.join(before)}", "" if len(before) > 1 else "sr-only")
        state(node.state)
        for problem in node.problems:
            text("p", redacted(problem)).props["role"] = "alert"
