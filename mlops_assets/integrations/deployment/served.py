"""The checks of a deployment: a server serves it, and its files are as they were written.

Neither is known of a cluster, which is not asked.
"""

from __future__ import annotations

import socket
from pathlib import Path

from mlops_assets.datasets.quality import Check
from mlops_assets.integrations.deployment.files import (
    FILE,
    FOLDER,
    HOST,
    checksum,
    checksums,
    digest_of,
)
from mlops_assets.integrations.deployment.kinds import FILES, SERVED
from mlops_assets.integrations.deployment.server import ask_server, wait_for_digest
from mlops_assets.integrations.deployment.standing import newest_deployment
from mlops_assets.progress import step
from mlops_assets.registry import Deployment, Registry
from mlops_assets.registry.promotion.deployments import DEPLOYED
from mlops_assets.serving.specification import ServiceSpecification


def served_check(
    registry: Registry,
    specification: ServiceSpecification,
    token: str | None = None,
    seconds: float | None = None,
) -> Check:
    """Return whether the declared server serves what is deployed; it is a warning if not.

    Args:
        registry: has the deployments.
        specification: of the service.
        token: that is sent to the server.
        seconds: to wait for the server to load it; `WAIT_SECONDS` if None, and none for an image,
            which people run.
    """
    made = newest_deployment(registry, specification.name)
    name, url = specification.name, specification.url
    if made is None:
        return _warning(f"{name} was never deployed; run 'mlops service deploy {name}'")
    reference = f"{made.model}@{made.version}"
    if made.action != DEPLOYED:
        found = ask_server(url, made.model, token)
        if found.sha256 == made.sha256:
            return _warning(
                f"{name} is undeployed, but {url} still serves {reference}; stop that server, or"
                f" unload the model: POST {url}/v2/repository/models/{made.model}/unload"
            )
        return Check(SERVED, True, f"{name} is undeployed", blocking=False)
    if seconds is None and made.engine == "docker":
        seconds = 0.0
    with step(f"asking {url} for {reference}"):
        found = wait_for_digest(url, made.model, made.sha256, token, seconds)
    values: dict[str, str | None] = {
        "url": url,
        "model_version": made.version,
        "sha256": made.sha256,
        "served_sha256": found.sha256,
    }
    if found.sha256 == made.sha256:
        text = f"{url} serves {reference}, sha256 {made.sha256[:12]}"
        return Check(SERVED, True, text, blocking=False, values=dict(values))
    if found.sha256 is not None:
        text = (
            f"{url} serves another file, sha256 {found.sha256[:12]}, and not {reference}, sha256"
            f" {made.sha256[:12]}; {url}/v2/models/{made.model}/ready reports why it is"
            " not loaded"
        )
    elif not found.reachable:
        text = f"{found.reason}; start one: {_start(made, specification)}"
    else:
        text = f"{found.reason}, so that {reference} is not known to be served"
    return Check(SERVED, False, text, blocking=False, values=dict(values))


def files_check(registry: Registry, specification: ServiceSpecification) -> Check:
    """Return whether the written files are as recorded; it is a warning if not."""
    made = newest_deployment(registry, specification.name)
    name = specification.name
    if made is None:
        text = f"{name} was never deployed; run 'mlops service deploy {name}'"
        return Check(FILES, False, text, blocking=False)
    if made.action != DEPLOYED:
        return Check(FILES, True, f"{name} is undeployed", blocking=False)
    host = made.details.get(HOST)
    if host != socket.gethostname():
        text = f"the files of {name} are on {host or 'another machine'}; they are not checked here"
        return Check(FILES, True, text, blocking=False)
    folder = Path(made.details.get(FOLDER, ""))
    problems = _problems(made, folder)
    if problems:
        text = f"in {folder} {'; '.join(problems)}; run 'mlops service deploy {name}' again"
        return Check(FILES, False, text, blocking=False)
    count = len(_recorded(made))
    text = (
        f"{count} files in {folder} are as written for {made.model}@{made.version}; whether they"
        " were applied is not known here"
    )
    return Check(FILES, True, text, blocking=False)


def _recorded(made: Deployment) -> dict[str, str]:
    return {
        key.removeprefix(FILE): value for key, value in made.details.items() if key.startswith(FILE)
    }


def _problems(made: Deployment, folder: Path) -> list[str]:
    found: list[str] = []
    for path, sha256 in _recorded(made).items():
        try:
            if _present(folder / path, path) != sha256:
                found.append(f"{path} has changed")
        except OSError as error:
            found.append(f"{path} cannot be read: {error.strerror}")
    return found


def _present(place: Path, path: str) -> str:
    return digest_of(checksums(place)) if path.endswith("/") else checksum(place)


def _start(made: Deployment, specification: ServiceSpecification) -> str:
    if made.engine == "docker":
        return f"build and run the image in {made.details.get(FOLDER)}"
    return f"'mlops serve {specification.model}@{specification.alias}'"


def _warning(text: str) -> Check:
    return Check(SERVED, False, text, blocking=False)
