"""The chart, rendered by Helm with values of several deployments."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mlops_assets_tests.deployments.kubernetes import helm_process

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deployments" / "kubernetes" / "chart"
Manifest = dict[str, Any]

_RESOURCES = {
    "requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"},
    "limits": {"cpu": "2", "memory": "2Gi", "ephemeral-storage": "4Gi"},
}
_SIGN_IN: dict[str, Any] = {
    "issuer": "https://iam.example.org/realms/eo",
    "audience": "fields",
    "roles": [{"claim": "realm_access.roles", "values": {"eo": "viewer"}}],
    "sign_in": {
        "client_id": "fields",
        "client_secret": {"file": "/etc/mlops-oauth2/client_secret"},
    },
}
VALUES: dict[str, dict[str, Any]] = {
    "default": {},
    "gpu": {
        "gpu": {"enabled": True, "label": "example.org/gpu"},
        "images": {"gpu": {"digest": f"sha256:{'a' * 64}"}, "pullSecrets": ["pull"]},
        "runs": {
            "nodeSelector": {"pool": "ml"},
            "tolerations": [{"key": "ml", "operator": "Exists"}],
            "priorityClassName": "training",
            "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
        },
    },
    "two services": {
        "hub": {"replicas": 2},
        "serving": {
            "services": [
                {
                    "name": "crops",
                    "models": ["crop_cnn@production"],
                    "replicas": 2,
                    "threads": 2,
                    "queue": 8,
                    "maxBody": "1Gi",
                    "resources": _RESOURCES,
                },
                {"name": "svm", "models": ["a@v1-0badcafe", "b@canary"], "resources": _RESOURCES},
            ]
        },
        "networkPolicy": {"serving": [{"namespaceSelector": {"matchLabels": {"team": "apps"}}}]},
    },
    # a namespace of EOEPCA's Datalab: its Secret, its gateway's namespace, a signing key
    "datalab": {
        "signIn": {"existingSecret": "fields-oauth2-client"},
        "declarations": {"identity": _SIGN_IN, "files": {"team.pem": "-----BEGIN PUBLIC KEY-----"}},
        "hub": {"publicUrl": "https://fields.example.org"},
        "signing": {"existingSecret": "fields-signing", "certificate": True, "password": True},
        "workspace": {"settings": {"MLOPS_WORKSPACE": "s3://fields", "MLOPS_PACK_BELOW": 0}},
        "serviceAccounts": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}},
        "networkPolicy": {
            "hub": [{"namespaceSelector": {"matchLabels": {"name": "ingress-apisix"}}}],
            "objectStore": {"to": [{"ipBlock": {"cidr": "10.1.0.0/24"}}], "ports": [9000]},
            "extraEgress": [{"ports": [{"protocol": "TCP", "port": 8443}]}],
        },
    },
    "web server": {"webserver": {"enabled": True}},
    "least": {
        "hub": {"enabled": False},
        "migration": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "fullnameOverride": "f",
    },
}


class Refused(Exception):
    """Helm's message about values."""


@dataclass(frozen=True)
class Rendered:
    """What the chart renders.

    Attributes:
        manifests: in Helm's order.
        notes: the text after installing.
        findings: of `helm lint --strict`.
    """

    manifests: tuple[Manifest, ...]
    notes: str
    findings: tuple[str, ...]

    def of_kind(self, kind: str) -> list[Manifest]:
        return [each for each in self.manifests if each["kind"] == kind]

    def named(self, kind: str, name: str) -> Manifest:
        (found,) = [each for each in self.of_kind(kind) if each["metadata"]["name"] == name]
        return found


_known: dict[str, Rendered | Refused] = {}


def rendered(values: Mapping[str, Any]) -> Rendered:
    """Render the chart as the release `fields` in the namespace `eo`.

    Raises:
        Refused: Helm does not.
    """
    (answer,) = answers([values])
    if isinstance(answer, Refused):
        raise answer
    return answer


def answers(several: Sequence[Mapping[str, Any]]) -> list[Rendered | Refused]:
    """Render the chart with each of several values, in one process."""
    texts = [json.dumps(values) for values in several]
    if not _known.keys() >= set(texts):
        # all deployments at once, as most tests are about each of them
        wanted = dict.fromkeys([*texts, *map(json.dumps, VALUES.values())])
        unknown = [text for text in wanted if text not in _known]
        asked = f'{{"chart": {json.dumps(str(CHART))}, "values": [{", ".join(unknown)}]}}'
        done = subprocess.run(
            [sys.executable, helm_process.__file__],
            input=asked,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        _known.update(zip(unknown, map(_answer, json.loads(done.stdout)), strict=True))
    return [_known[text] for text in texts]


def _answer(answer: Mapping[str, Any]) -> Rendered | Refused:
    if "error" in answer:
        return Refused(answer["error"])
    files, lint = answer["files"], answer["lint"]
    notes = next(text for name, text in files.items() if name.endswith("NOTES.txt"))
    # "info" is that a chart has no icon
    findings = [each["error"] for each in lint["messages"] if each["severity"] > 1]
    return Rendered(tuple(_documents(files)), notes, (*findings, *lint["errors"]))


def _documents(files: Mapping[str, str]) -> Iterator[Manifest]:
    for name, text in files.items():
        if not name.endswith("NOTES.txt"):
            yield from (each for each in yaml.safe_load_all(text) if each is not None)


def pods(found: Rendered) -> Iterator[tuple[str, Manifest]]:
    """Yield the name and the template of each pod."""
    for kind in ("Deployment", "Job"):
        for each in found.of_kind(kind):
            yield each["metadata"]["name"], each["spec"]["template"]


def containers(pod: Manifest) -> list[Manifest]:
    """Return the containers of a pod, those that run first included."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
