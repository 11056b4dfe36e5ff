"""The issuer `oidc-provider`, whose conformance to OpenID Connect is certified, on loopback."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlops_assets_tests.servers.processes import HOST, serving
from mlops_assets_tests.services import require_oidc_provider, require_program

SECRET = "s3cret+/%&_of-a-client"


@contextmanager
def oidc_provider(log: Path, method: str, seconds: int) -> Iterator[str]:
    """Serve an issuer of opaque tokens; yield its URL.

    Args:
        log: file for what it prints.
        method: by which its clients authenticate at the token endpoint, and the id of one.
        seconds: that its tokens are valid for.
    """
    node = str(require_program("node", "nodejs"))
    package = str(require_oidc_provider())
    script = str(Path(__file__).with_suffix(".mjs"))
    environment = {**os.environ, "AUTH_METHOD": method}
    with serving(
        lambda port: [node, script, package, str(port), SECRET, str(seconds)], log, environment
    ) as port:
        yield f"http://{HOST}:{port}"


@contextmanager
def oidc_people(log: Path, roles_in: str = "id_token") -> Iterator[str]:
    """Serve an issuer at which people sign in, by any name; yield its URL.

    The parts of a name after the first dot are the roles. Clients are `hub/secret`, which has the
    secret, and `hub-public`; people return to any port of this machine.

    Args:
        log: file for what it prints.
        roles_in: `id_token` or `userinfo`.
    """
    node = str(require_program("node", "nodejs"))
    package = str(require_oidc_provider())
    script = str(Path(__file__).with_name("oidc_people.mjs"))
    environment = {**os.environ, "ROLES_IN": roles_in}
    with serving(lambda port: [node, script, package, str(port), SECRET], log, environment) as port:
        yield f"http://{HOST}:{port}"
