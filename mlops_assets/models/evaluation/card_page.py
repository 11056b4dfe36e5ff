"""A model card as one self-contained HTML page, with its style and figures, and no scripts.

The frame is `card_page.html.j2`; the text is that of the Markdown card.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from markdown_it import MarkdownIt

from mlops_assets.text.templates import template

FIGURES = "figures/"


def card_page(card: str, figures: Mapping[str, bytes]) -> str:
    """Return the page of a card. HTML in the card's Markdown is text on the page.

    Args:
        card: Markdown, whose first line is its title.
        figures: name → PNG of the images that it links to as `figures/NAME.png`.
    """
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(card)
    for token in tokens:
        for child in token.children or ():
            if child.type == "image":
                name = str(child.attrs["src"]).removeprefix(FIGURES).removesuffix(".png")
                child.attrs["src"] = _data_url(figures[name]) if name in figures else ""
    title = next(token.content for token in tokens if token.type == "inline")
    # as rendered, without what Markdown escapes in it
    heading = markdown.renderInline(title)
    return template("mlops_assets.models.evaluation", "card_page.html.j2").render(
        title=heading, body=markdown.renderer.render(tokens, markdown.options, {})
    )


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
