"""Take the screenshots of the README from a hub that serves the demo's workspace.

`make hub-screenshots` calls it, after `make demo`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

PORT = 8419
IMAGES = Path(__file__).parent / "images"
MAX_BYTES = 200_000
# file → page, width and theme
PAGES = {
    "hub-home": ("/", 1280, "light"),
    "hub-model": ("/models/indian_pines_cnn@production", 1280, "light"),
    "hub-samples": ("/data/indian_pines@v2/samples", 1280, "dark"),
    "hub-phone": ("/", 390, "dark"),
}
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


def main() -> None:
    """Serve the workspace of the current folder, and take each screenshot.

    A hub that runs already is named as the argument.
    """
    if len(sys.argv) > 1:
        take(sys.argv[1])
        return
    command = [str(Path(sys.executable).with_name("mlops")), "hub", "--port", str(PORT)]
    server = subprocess.Popen(command)
    try:
        url = f"http://127.0.0.1:{PORT}"
        _wait_for(url)
        take(url)
    finally:
        server.terminate()
        server.wait(30)


def take(url: str) -> None:
    """Take each screenshot of the hub at a URL."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        for name, (path, width, theme) in PAGES.items():
            context = browser.new_context(
                viewport={"width": width, "height": 800},
                color_scheme="dark" if theme == "dark" else "light",
            )
            page = context.new_page()
            page.goto(url + path)
            page.wait_for_timeout(6_000)  # figures and chips fill themselves
            file = IMAGES / f"{name}.png"
            page.screenshot(path=str(file))
            _reduce(file)
            print(f"{file}: {file.stat().st_size:,} bytes")
        browser.close()


def _wait_for(url: str) -> None:
    for _ in range(240):
        try:
            with urllib.request.urlopen(url):
                return
        except urllib.error.URLError:
            time.sleep(0.5)
    raise SystemExit(f"the hub does not respond at {url}")


def _reduce(file: Path) -> None:
    """Write a screenshot with a palette where it is too large for a repository."""
    if file.stat().st_size > MAX_BYTES:
        with Image.open(file) as image:
            image.convert("RGB").quantize(128).save(file, optimize=True)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    main()
