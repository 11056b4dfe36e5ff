"""Links to the page that starts a training."""

from __future__ import annotations

from urllib.parse import urlencode

PATH = "/train"


def train_link(model: str, data: str | None = None, source: str | None = None) -> str:
    """Return the URL of the form that trains a model.

    Args:
        model: its name.
        data: version or tag of its dataset; the newest version if None.
        source: run whose values the form begins with.
    """
    named = {"model": model, "data": data, "from": source}
    return f"{PATH}?{urlencode({name: value for name, value in named.items() if value})}"
