"""Storage keys are spelt in one place, which the documentation shows."""

from __future__ import annotations

import re
from pathlib import Path

from mlops_assets import paths

ROOT = Path(__file__).parents[1]
SPELT = re.compile(
    r'f?"(data|model|record|run|prediction|sweep):\{'
    r'|"(models|runs|predictions|sweeps|staged|log)/\{'
)


def test_the_documentation_has_the_layout_of_a_workspace() -> None:
    assert f"```\n{paths.layout()}\n```" in (ROOT / "docs/workspace.md").read_text()


def test_keys_and_owners_are_spelt_nowhere_else() -> None:
    modules = [path for path in (ROOT / "mlops_assets").rglob("*.py") if path.name != "paths.py"]
    found = [
        f"{path.name}: {line.strip()}"
        for path in modules
        for line in path.read_text().splitlines()
        if SPELT.search(line) and "self._client" not in line
    ]
    assert found == []
