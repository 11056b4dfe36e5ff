"""Real services that some tests need.

Missing ones skip the test, but never under REQUIRE_SERVICES=1 (CI).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from pathlib import Path

import pytest

_PEERS = Path(__file__).resolve().parents[1] / ".venv-peers"

# by `make azurite`
_AZURITE = Path(sys.prefix, "azurite", "node_modules", "azurite", "dist", "src", "blob", "main.js")


def require_program(name: str, package: str) -> Path:
    """Return the path of a program, or skip the test; fail it where services are required."""
    found = shutil.which(name)
    return _required(
        Path(found) if found else None, f"needs {name}; install the Debian package {package}"
    )


def require_script(name: str) -> Path:
    """Return the path of a program that the dev extra brings into this environment."""
    return _required(Path(sysconfig.get_path("scripts"), name), f"needs {name}; run: make install")


def require_package(name: str) -> None:
    """Skip the test unless a package that the dev extra brings is installed.

    Fail it where services are required.
    """
    found = importlib.util.find_spec(name)
    _required(
        Path(found.origin) if found and found.origin else None, f"needs {name}; run: make install"
    )


def require_azurite() -> list[str]:
    """Return the command that starts Azurite's blob service, or skip the test.

    Fail it where services are required.
    """
    node = require_program("node", "nodejs")
    return [
        str(node),
        str(_required(_AZURITE, "needs Azurite; install node and npm, and run: make azurite")),
    ]


def require_pytdml() -> Path:
    """Return the Python of an environment with pytdml, or skip the test.

    Fail it where services are required.
    """
    return _required(Path(sys.prefix, "pytdml", "bin", "python"), "needs pytdml; run: make pytdml")


def require_model_signing() -> Path:
    """Return the program of model-signing in an environment of its own, or skip the test.

    Fail it where services are required.
    """
    return _required(
        Path(sys.prefix, "model-signing", "bin", "model_signing"),
        "needs model-signing; run: make model-signing",
    )


def require_mlflow() -> Path:
    """Return the program `mlflow` of an environment with the whole of MLflow, or skip the test.

    Fail it in CI.
    """
    return _required(
        Path(sys.prefix, "mlflow-server", "bin", "mlflow"),
        "needs a server of MLflow; run: make mlflow",
    )


def require_stac_validator() -> Path:
    """Return the program `stac-api-validator`, or skip the test.

    Fail it where services are required.
    """
    return _required(
        _PEERS / "stac-validator" / "bin" / "stac-api-validator",
        "needs stac-api-validator; run: make stac-validator",
    )


def require_dvc() -> Path:
    """Return the folder of programs of an environment with DVC, or skip the test.

    Fail it where services are required.
    """
    installed = _PEERS / "dvc" / "installed.txt"
    return _required(installed, "needs DVC; run: make dvc").parent / "bin"


def require_serving_clients() -> Path:
    """Return the programs of an environment with Triton's HTTP client and schemathesis.

    Skip the test without it; fail it where services are required.
    """
    installed = _PEERS / "serving-clients" / "installed.txt"
    reason = "needs Triton's client and schemathesis; run: make serving-clients"
    return _required(installed, reason).parent / "bin"


def require_stac_browser() -> Path:
    """Return the folder of STAC Browser's pages, or skip the test.

    Fail it where services are required.
    """
    return _required(
        _PEERS / "stac-browser" / "dist",
        "needs STAC Browser; install node and npm, and run: make stac-browser",
    )


def require_axe() -> Path:
    """Return the script of axe-core, or skip the test.

    Fail it where services are required.
    """
    return _required(
        _PEERS / "axe-core" / "node_modules" / "axe-core" / "axe.min.js",
        "needs axe-core; install npm, and run: make axe-core",
    )


def require_oidc_provider() -> Path:
    """Return the folder of the Node.js package `oidc-provider`, or skip the test.

    Fail it where services are required.
    """
    return _required(
        _PEERS / "oidc-provider" / "node_modules" / "oidc-provider",
        "needs oidc-provider; install node and npm, and run: make oidc-provider",
    )


def require_pgstac() -> Path:
    """Return the programs of an environment with stac-fastapi-pgstac, or skip the test.

    Fail it where services are required.
    """
    extension = Path("/usr/share/postgresql/15/extension/postgis.control")
    _required(extension, "needs PostGIS; install the Debian package postgresql-15-postgis-3")
    installed = _PEERS / "pgstac" / "installed.txt"
    return _required(installed, "needs stac-fastapi-pgstac; run: make pgstac").parent / "bin"


def require_export_peer(name: str) -> Path:
    """Return the programs of an environment with software that exports are for, or skip the test.

    Fail it where services are required.
    """
    return _required(_PEERS / f"export-{name}" / "bin", f"needs {name}; run: make export-peers")


def require_eotdl() -> Path:
    """Return the programs of an environment with EOTDL's client, or skip the test, also in CI.

    The client needs a newer Python than this project does.
    """
    programs = _PEERS / "export-eotdl" / "bin"
    if not programs.exists():
        pytest.skip("needs EOTDL's client; with Python 3.12, run: make export-eotdl")
    return programs


def _required(found: Path | None, message: str) -> Path:
    if found is None or not found.exists():
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return found
