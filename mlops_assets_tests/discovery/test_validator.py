"""The STAC API as stac-api-validator judges it; findings that are not ours are named."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from mlops_assets_tests.discovery.external import SQUARE, external_collection, external_item
from mlops_assets_tests.hub.serving import TOKEN
from mlops_assets_tests.services import require_stac_validator

CLASSES = (
    "core",
    "collections",
    "features",
    "item-search",
    "filter",
    "item-search#sort",
    "item-search#fields",
    "features#sort",
    "features#fields",
)
NAMED = (
    # schemas are not downloaded here; what is recorded is validated by them in tests/stac
    r"failed stac-validator validation: .*ConnectionError|NameResolutionError",
    # it sends `collections` as text, which is a list
    r'Sort Ext\].*"collections": "sent"\} had unexpected status code 400',
    # it demands this property of the same request two lines before
    r"'exclude': \['geometry'\], 'include': (\[\]|None)\}\} response contained 'properties\.gsd'",
)


@pytest.mark.services
def test_the_validator_finds_nothing_but_what_is_named(
    api: str, client: httpx.Client, tmp_path: Path
) -> None:
    validator = require_stac_validator()
    assert client.post("collections", json=external_collection()).status_code == 201
    features = [external_item(f"n{number:02}", properties={"gsd": 10}) for number in range(30)]
    many = {"type": "FeatureCollection", "features": features}
    assert client.post("collections/sent/items", json=many).status_code == 201
    command = [
        str(validator),
        *("--root-url", f"{api}/"),
        *("--collection", "sent"),
        *("--geometry", json.dumps(SQUARE)),
        *("--auth-bearer-token", TOKEN),
        *("--fields-nested-property", "properties.gsd"),
        "--validate-pagination",
    ]
    for name in CLASSES:
        command += ["--conformance", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    client.delete("collections/sent")
    _, found, errors = done.stdout.partition("\nErrors:")
    assert found, done.stdout + done.stderr
    unnamed = [
        line
        for line in errors.splitlines()
        if line.startswith("- ") and not any(re.search(pattern, line) for pattern in NAMED)
    ]
    assert unnamed == []
