"""Text of others in Markdown: no tag, link or cell comes of it."""

from __future__ import annotations

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from mlops_assets.components.events.presentation import counts_markdown
from mlops_assets.text.markup import code, paragraphs, plain, table

HOSTILE = [
    "<script>alert(1)</script>|x",
    "<img src=x onerror=alert(1)>",
    "[a](javascript:alert(1))",
    "![a](http://h/x.png)",
    "a | b",
    "`code`",
    "``",
    "# title",
    "1. list",
    "- list",
    "+ list",
    "> quote",
    "**bold**",
    "_em_ *em*",
    "a\\",
    "&lt;b&gt;",
    "<http://host/>",
    "a\n\n# b\n| c |\n|---|",
    "=",
    "---",
    "~~~",
    "\\<b>",
    "~~no~~",
    "a|`b|c`",
    "\t",
    "",
]
ALLOWED = {"p", "h1", "table", "thead", "tbody", "tr", "th", "td"}


def rendered(text: str) -> tuple[set[str], str]:
    """Return the elements and the text that Markdown makes of a text."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    every = [part for token in tokens for part in (token, *(token.children or []))]
    return {t.tag for t in every if t.tag}, "".join(
        t.content for t in every if t.type in ("text", "code_inline", "html_inline")
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_rendered_literally(text: str) -> None:
    shown = " ".join(text.split())
    for written in (plain(text), f"# {plain(text)}", f"| a |\n|---|\n| {plain(text)} |"):
        tags, content = rendered(written)
        assert tags <= ALLOWED
        assert content.endswith(shown)
    tags, content = rendered(f"| a | b |\n|---|---|\n| {code(text)} | 2 |")
    assert tags <= ALLOWED | {"code"} and content.startswith("ab" + shown) and content.endswith("2")
    assert rendered(paragraphs(text))[0] <= ALLOWED


def test_names_of_classes_stay_in_their_cell() -> None:
    table = counts_markdown(pd.DataFrame({"train": [1]}, index=["<script>a</script>|x"]), "samples")
    tags, content = rendered(table)
    assert tags <= ALLOWED and content.endswith("<script>a</script>|x1")


def test_a_table_has_a_row_for_each_of_its_rows() -> None:
    assert table(["a", "b"], [["1", "2"], ["", "4"]]).split("\n") == [
        "| a | b |",
        "|---|---|",
        "| 1 | 2 |",
        "|  | 4 |",
    ]
    assert table(["a"], []) == "| a |\n|---|"
