"""The smallest page of NiceGUI, beside which pages of the hub are measured."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI
from nicegui import ui


@ui.page("/")
def empty() -> None:
    """Build the page."""
    ui.label("empty")


def main() -> None:
    """Serve it at the host and port that are named."""
    app = FastAPI()
    ui.run_with(app)
    uvicorn.run(app, host=sys.argv[1], port=int(sys.argv[2]), log_level="warning")


if __name__ == "__main__":
    main()
