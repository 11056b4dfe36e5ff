"""What may run in a namespace that others share: Pod Security "restricted", least rights.

https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes.utils.quantity import parse_quantity

from mlops_assets.components.graph.pods import kubernetes_tags
from mlops_assets.models.compute import Compute
from mlops_assets_tests.deployments.kubernetes.chart import (
    VALUES,
    Manifest,
    Rendered,
    containers,
    pods,
    rendered,
)
from mlops_assets_tests.deployments.kubernetes.dagster_jobs import (
    instance_ref,
    launcher_of,
    run_job,
    step_job,
)

KINDS = {
    "ConfigMap",
    "Deployment",
    "Job",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Role",
    "RoleBinding",
    "Service",
    "ServiceAccount",
}
# projected ones may hold tokens for others
VOLUMES = {"configMap", "emptyDir", "secret"}
IMAGE = re.compile(r"[^:@]+(:\d+\.\d+\.\d+|@sha256:[0-9a-f]{64})")
# what dagster-k8s asks of the Kubernetes API
RIGHTS = {
    "fields-hub": {
        ("jobs", "delete get list"),
        ("jobs/status", "get"),
        ("pods", "delete get list"),
    },
    "fields-daemon": {
        ("jobs", "create delete get list"),
        ("jobs/status", "get"),
        ("pods", "delete get list"),
        ("pods/log", "get"),
        ("events", "list"),
    },
}
RIGHTS["fields-run"] = RIGHTS["fields-daemon"]
every_deployment = pytest.mark.parametrize("values", VALUES.values(), ids=list(VALUES))


@pytest.fixture
def all_pods(
    values: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[str, Manifest]]:
    """The pods of the chart, and those that Dagster makes of its instance."""
    found = rendered(values)
    launcher = launcher_of(instance_ref(found, tmp_path, monkeypatch), monkeypatch)
    run = run_job(launcher)
    for env in containers(run["spec"]["template"])[0]["env"]:
        # a step's pod is declared where the run is
        if env["name"].startswith("MLOPS_GPU"):
            monkeypatch.setenv(env["name"], env["value"])
    compute = Compute(
        gpus=2, memory="32Gi", cpus=8, shared_memory="8Gi", gpu_type="A100", priority_class="high"
    )
    made = {
        "run": run,
        "step": step_job(launcher, {}),
        "GPU step": step_job(launcher, kubernetes_tags(compute)),
    }
    return [*pods(found), *((name, job["spec"]["template"]) for name, job in made.items())]


@every_deployment
def test_nothing_is_of_the_whole_cluster_and_everything_is_in_one_namespace(
    values: dict[str, object],
) -> None:
    found = rendered(values)
    assert {each["kind"] for each in found.manifests} <= KINDS
    assert {each["metadata"].get("namespace", "eo") for each in found.manifests} == {"eo"}
    assert all(
        each["spec"].get("type", "ClusterIP") == "ClusterIP" for each in found.of_kind("Service")
    )


@every_deployment
def test_pods_are_restricted(all_pods: list[tuple[str, Manifest]]) -> None:
    for name, pod in all_pods:
        spec = pod["spec"]
        security = spec["securityContext"]
        assert security["runAsNonRoot"] and security["runAsUser"] == 10001, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not any(spec.get(each) for each in ("hostNetwork", "hostPID", "hostIPC")), name
        for volume in spec["volumes"]:
            assert set(volume) - {"name"} <= VOLUMES, (name, volume)
        for each in containers(pod):
            security = each["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert security.get("runAsNonRoot") is True and not security.get("privileged"), name
            assert not any(port.get("hostPort") for port in each.get("ports", [])), name


@every_deployment
def test_pods_state_what_they_need_and_which_image_they_run(
    all_pods: list[tuple[str, Manifest]],
) -> None:
    for name, pod in all_pods:
        for each in containers(pod):
            assert IMAGE.fullmatch(each["image"]), (name, each["image"])
            requests, limits = each["resources"]["requests"], each["resources"]["limits"]
            assert {"cpu", "memory"} <= requests.keys() and "memory" in limits, name
            for what in requests.keys() & limits.keys():
                assert parse_quantity(requests[what]) <= parse_quantity(limits[what]), (name, what)
            assert "ephemeral-storage" in each["resources"]["limits"], name


@every_deployment
def test_what_is_written_is_in_folders_with_a_limit(
    all_pods: list[tuple[str, Manifest]],
) -> None:
    for name, pod in all_pods:
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        for each in containers(pod):
            paths = {mount["mountPath"] for mount in each["volumeMounts"]}
            assert {"/tmp", "/var/lib/mlops"} <= paths, name
            assert len(paths) == len(each["volumeMounts"]), f"{name}: two volumes at one path"
            for mount in each["volumeMounts"]:
                volume = volumes[mount["name"]]
                if "emptyDir" in volume:
                    # shared memory counts as memory, which has a limit
                    limited = (
                        volume["emptyDir"].get("sizeLimit") or mount["mountPath"] == "/dev/shm"
                    )
                    assert limited, name
                else:
                    assert mount["readOnly"], (name, mount)


@every_deployment
def test_no_secret_is_in_a_manifest_and_each_is_mounted_where_it_is_used_only(
    all_pods: list[tuple[str, Manifest]],
) -> None:
    secret = re.compile("PASSWORD|SECRET|TOKEN|ACCESS_KEY|DELEGATION|REGISTRY")
    for name, pod in all_pods:
        for each in containers(pod):
            assert not each.get("envFrom"), name
            values = {env["name"]: env for env in each["env"]}
            # of a variable that is there twice the last one counts
            assert len(values) == len(each["env"]) or name == "GPU step", (
                f"{name}: a variable twice"
            )
            assert values.get("MLOPS_CONTAINER", {"value": each["image"]})["value"] == each["image"]
            assert not [
                env for env in values.values() if secret.search(env["name"]) and "value" in env
            ]
        mounted = {
            volume["secret"]["secretName"]
            for volume in pod["spec"]["volumes"]
            if "secret" in volume
        }
        # what loads no code of the project has nothing of the workspace
        outside = name.endswith(("-daemon", "-webserver"))
        assert ("mlops-workspace" in mounted) is not outside, name
        signs = name.endswith("-hub") or name in ("run", "step", "GPU step")
        assert signs or "fields-signing" not in mounted, name
        assert name.endswith("-hub") or "fields-oauth2-client" not in mounted, name


@every_deployment
def test_those_that_load_the_launcher_have_a_token_and_no_more_rights_than_they_use(
    values: dict[str, object],
) -> None:
    found = rendered(values)
    prefix = "f" if values.get("fullnameOverride") else "fields"
    accounts = {each["metadata"]["name"] for each in found.of_kind("ServiceAccount")}
    assert not any(each["automountServiceAccountToken"] for each in found.of_kind("ServiceAccount"))
    for name, pod in pods(found):
        spec = pod["spec"]
        assert spec["serviceAccountName"] in accounts, name
        # with the launcher Dagster loads the token
        maps = [each.get("configMap", {}).get("name", "") for each in spec["volumes"]]
        instances = [found.named("ConfigMap", each) for each in maps if each.endswith("-dagster")]
        loads = any("run_launcher" in each["data"]["dagster.yaml"] for each in instances)
        assert spec["automountServiceAccountToken"] is loads, name
    bound = {each["subjects"][0]["name"] for each in found.of_kind("RoleBinding")}
    assert accounts - bound == {f"{prefix}-app", f"{prefix}-code"}
    for binding in found.of_kind("RoleBinding"):
        (subject,) = binding["subjects"]
        role = found.named("Role", binding["roleRef"]["name"])
        assert subject["name"] == role["metadata"]["name"] and subject["namespace"] == "eo"
        rights = {
            (resource, " ".join(sorted(rule["verbs"])))
            for rule in role["rules"]
            for resource in rule["resources"]
        }
        assert rights == RIGHTS[subject["name"].replace(f"{prefix}-", "fields-", 1)]


@every_deployment
def test_servers_are_probed(values: dict[str, object]) -> None:
    found = rendered(values)
    for each in found.of_kind("Deployment"):
        (container,) = each["spec"]["template"]["spec"]["containers"]
        assert {"startupProbe", "livenessProbe"} <= set(container)
        assert ("readinessProbe" in container) == ("ports" in container)


@every_deployment
def test_several_replicas_have_a_disruption_budget_and_one_has_none(
    values: dict[str, object],
) -> None:
    found = rendered(values)
    several = {
        each["metadata"]["name"]
        for each in found.of_kind("Deployment")
        if each["spec"]["replicas"] > 1
    }
    budgets = found.of_kind("PodDisruptionBudget")
    assert {each["metadata"]["name"] for each in budgets} == several
    for budget in budgets:
        labels = found.named("Deployment", budget["metadata"]["name"])["spec"]["template"][
            "metadata"
        ]
        assert budget["spec"]["selector"]["matchLabels"].items() <= labels["labels"].items()


@every_deployment
def test_services_and_policies_select_pods_that_are_there(values: dict[str, object]) -> None:
    found = rendered(values)
    labels = [pod["metadata"]["labels"] for _name, pod in pods(found)]
    for service in found.of_kind("Service"):
        chosen = [each for each in labels if service["spec"]["selector"].items() <= each.items()]
        assert len(chosen) == 1, service["metadata"]["name"]
        ports = {
            port["name"]: port["containerPort"]
            for _name, pod in pods(found)
            if service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
            for port in containers(pod)[0]["ports"]
        }
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]


def referenced(found: Rendered) -> Iterator[str]:
    for _name, pod in pods(found):
        for volume in pod["spec"]["volumes"]:
            if "configMap" in volume:
                yield volume["configMap"]["name"]


@every_deployment
def test_config_maps_that_pods_mount_are_there(values: dict[str, object]) -> None:
    found = rendered(values)
    there = {each["metadata"]["name"] for each in found.of_kind("ConfigMap")}
    assert set(referenced(found)) == there


def test_a_migration_before_an_upgrade_needs_nothing_that_the_upgrade_brings() -> None:
    found = rendered(VALUES["datalab"])
    job = found.named("Job", "fields-migration")
    hooks = job["metadata"]["annotations"]["helm.sh/hook"]
    for volume in job["spec"]["template"]["spec"]["volumes"]:
        if "configMap" in volume:
            annotations = found.named("ConfigMap", volume["configMap"]["name"])["metadata"][
                "annotations"
            ]
            assert annotations["helm.sh/hook"] == hooks
            assert int(annotations["helm.sh/hook-weight"]) < 0
