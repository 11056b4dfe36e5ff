"""Real services that some tests need. Missing ones skip the test, but never under REQUIRE_SERVICES=1 (CI)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


def require_program(name: str, package: str) -> Path:
    """Return the path of a program, or skip the test; fail it where services are required."""
    found = shutil.which(name)
    if found is None:
        message = f"needs {name}; install the Debian package {package}"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return Path(found)
