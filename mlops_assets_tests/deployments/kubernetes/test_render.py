"""The chart: Helm's own checks, and the published schemas of Kubernetes."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from mlops_assets import __version__
from mlops_assets.identity.declaration import read_identity
from mlops_assets_tests.deployments.kubernetes.chart import CHART, ROOT, VALUES, rendered
from mlops_assets_tests.deployments.kubernetes.dagster_jobs import (
    instance_ref,
    launcher_of,
    run_job,
)

KUBERNETES = ("1.31", "1.33", "1.35")
KIND = ROOT / "deployments" / "kubernetes" / "kind"
OFFICIAL = KIND.with_name("values-dagster-official.yaml")


@cache  # most are the same in each deployment
def validate(manifest: str) -> None:
    for version in KUBERNETES:
        kubernetes_validate.validate(json.loads(manifest), version, strict=True)


@pytest.mark.parametrize("values", VALUES.values(), ids=list(VALUES))
def test_manifests_are_valid_in_each_release_of_kubernetes(
    values: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rendered(values)
    assert not found.findings
    launcher = launcher_of(instance_ref(found, tmp_path, monkeypatch), monkeypatch)
    for manifest in (*found.manifests, run_job(launcher)):
        validate(json.dumps(manifest))
    names = [(each["kind"], each["metadata"]["name"]) for each in found.manifests]
    assert len(set(names)) == len(names)


def test_the_chart_has_the_version_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__
    manifest = rendered({}).named("Deployment", "fields-hub")
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"mlops-assets/hub:{__version__}"


def test_a_digest_is_what_runs_and_what_their_records_name() -> None:
    digest = f"sha256:{'b' * 64}"
    found = rendered({"images": {"code": {"tag": "1.2.3", "digest": digest}}})
    (container,) = found.named("Deployment", "fields-code")["spec"]["template"]["spec"][
        "containers"
    ]
    assert container["image"] == f"mlops-assets/code@{digest}"
    assert {"name": "MLOPS_CONTAINER", "value": container["image"]} in container["env"]
    assert f"--container-image={container['image']}" in container["args"]


def test_pods_start_again_when_the_instance_changes_and_not_otherwise() -> None:
    def annotations(values: dict[str, object]) -> dict[str, str]:
        pod = rendered(values).named("Deployment", "fields-daemon")["spec"]["template"]
        found: dict[str, str] = pod["metadata"]["annotations"]
        return found

    assert annotations({}) == annotations({"hub": {"replicas": 3}})
    changed = annotations({"dagster": {"instance": {"run_monitoring": {"enabled": False}}}})
    assert changed != annotations({})


def test_the_notes_name_each_secret_and_what_is_missing() -> None:
    notes = rendered({}).notes
    for name in ("mlops-workspace", "mlops-dagster-database", "mlops-delegation"):
        assert name in notes
    assert "The hub has no pages" in notes and "Nobody reaches the hub" in notes
    notes = rendered(VALUES["datalab"]).notes
    assert "fields-oauth2-client" in notes and "fields-signing" in notes
    assert "no pages" not in notes and "Nobody reaches" not in notes


def test_values_for_dagsters_own_chart_are_marked_and_name_our_service() -> None:
    text = OFFICIAL.read_text()
    assert text.startswith("# NOT VALIDATED")
    values = yaml.safe_load(text)
    (server,) = values["dagsterWebserver"]["workspace"]["servers"]
    assert server["port"] == 4000 and server["host"].endswith("-code")
    assert values["telemetry"]["enabled"] is False


def test_the_script_for_kind_is_marked_and_its_manifests_are_valid() -> None:
    script = (KIND / "run").read_text()
    assert script.splitlines()[1].startswith("# NOT RUN")
    subprocess.run(["bash", "-n", str(KIND / "run")], check=True)
    for manifest in yaml.safe_load_all((KIND / "services.yaml").read_text()):
        validate(json.dumps(manifest))
    values = yaml.safe_load((KIND / "values.yaml").read_text())
    found = rendered(values)
    # Secrets that the chart names are those that the script makes
    for name in ("mlops-workspace", "mlops-dagster-database", "mlops-delegation"):
        assert f"secret {name} " in script and name in found.notes


def test_declarations_are_read_by_the_product(tmp_path: Path) -> None:
    data = rendered(VALUES["datalab"]).named("ConfigMap", "fields-declarations")["data"]
    (tmp_path / "identity.yaml").write_text(data["identity.yaml"])
    identity = read_identity(tmp_path / "identity.yaml")
    assert identity.sign_in is not None and identity.sign_in.client_secret is not None
    assert str(identity.sign_in.client_secret) == "file /etc/mlops-oauth2/client_secret"
