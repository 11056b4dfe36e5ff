"""The template of NiceGUI's pages, with the nonce of the response on each of its own scripts.

Only scripts in the text of the template get it, not those that come with values.
"""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, FunctionLoader, select_autoescape
from nicegui import client
from starlette.templating import Jinja2Templates

_SCRIPT = re.compile(r"<script(?=[\s>])")
_NONCE = '<script nonce="{{ request.state.nonce }}"'


def install() -> None:
    """Let NiceGUI make its pages by the template with nonces."""
    folder = Path(client.__file__).parent / "templates"

    def source(name: str) -> str:
        return _SCRIPT.sub(_NONCE, (folder / name).read_text())

    environment = Environment(
        loader=FunctionLoader(source), autoescape=select_autoescape(("html",))
    )
    client.templates = Jinja2Templates(env=environment)
