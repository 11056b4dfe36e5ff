import json
from collections.abc import Mapping

import pytest
from dagster_k8s.job import DagsterK8sJobConfig, construct_dagster_k8s_job
from dagster_k8s.job import get_user_defined_k8s_config as read_tags
from kubernetes.client import ApiClient, V1Job

from mlops_assets.components.graph.pods import kubernetes_tags, requested_pod
from mlops_assets.components.naming import COMPUTE
from mlops_assets.errors import SpecificationError
from mlops_assets.models.compute import Compute

FULL = {
    "cpus": 2,
    "memory": "16Gi",
    "gpus": 4,
    "gpu_type": "NVIDIA-A100-SXM4-80GB",
    "node_selector": {"topology.kubernetes.io/zone": "b"},
    "tolerations": [
        {"key": "spot", "value": "true", "effect": "NoExecute", "seconds": 60},
    ],
    "shared_memory": "8Gi",
    "ephemeral_storage": "50Gi",
    "priority_class": "training",
    "deadline": 3600,
}


def job_of(tags: dict[str, str]) -> dict[str, object]:
    """The Job that dagster-k8s makes of the tags of an op, as it sends it."""
    config = read_tags(tags)
    image = DagsterK8sJobConfig(job_image="repository/code@sha256:0")
    job: V1Job = construct_dagster_k8s_job(image, ["run"], "job", config)
    sent: dict[str, object] = ApiClient().sanitize_for_serialization(job)
    return sent


def stored(tags: Mapping[str, object]) -> dict[str, str]:
    """Tags of an op as Dagster keeps them."""
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in tags.items()}


def test_a_pod_has_all_that_is_declared() -> None:
    tags = kubernetes_tags(Compute(**FULL), {"model": "forest"})  # type: ignore[arg-type]
    spec = job_of(stored(tags))["spec"]
    assert isinstance(spec, dict)
    assert (spec["activeDeadlineSeconds"], spec["backoffLimit"]) == (3600, 0)
    metadata, pod = spec["template"]["metadata"], spec["template"]["spec"]
    assert metadata["annotations"] == {"mlops-assets/model": "forest"}
    assert metadata["labels"]["mlops-assets/model"] == "forest"
    assert pod["nodeSelector"] == {
        "topology.kubernetes.io/zone": "b",
        "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB",
    }
    assert pod["tolerations"] == [
        {
            "key": "spot",
            "operator": "Equal",
            "value": "true",
            "effect": "NoExecute",
            "tolerationSeconds": 60,
        },
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
    ]
    assert pod["priorityClassName"] == "training"
    assert pod["volumes"] == [
        {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}}
    ]
    (container,) = pod["containers"]
    assert container["volumeMounts"] == [{"name": "shared-memory", "mountPath": "/dev/shm"}]
    assert container["resources"] == {
        "requests": {"cpu": "2", "memory": "16Gi", "ephemeral-storage": "50Gi"},
        "limits": {"memory": "16Gi", "nvidia.com/gpu": "4", "ephemeral-storage": "50Gi"},
    }


def test_processes_that_train_together_share_memory_without_a_declaration() -> None:
    pods = [stored(kubernetes_tags(Compute(processes=n)))["dagster-k8s/config"] for n in (1, 2)]
    assert ["/dev/shm" in pod for pod in pods] == [False, True]


def test_gpus_of_another_cluster_have_another_label_and_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLOPS_GPU_LABEL", "cloud.google.com/gke-accelerator")
    monkeypatch.setenv("MLOPS_GPU_IMAGE", "repository/gpu@sha256:1")
    job = job_of(stored(kubernetes_tags(Compute(gpus=1, gpu_type="nvidia-l4"))))
    pod = job["spec"]["template"]["spec"]  # type: ignore[index]
    assert pod["nodeSelector"] == {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    container = pod["containers"][0]
    assert container["image"] == "repository/gpu@sha256:1"
    # what a run records as its image
    assert container["env"][-1] == {"name": "MLOPS_CONTAINER", "value": "repository/gpu@sha256:1"}
    without = job_of(stored(kubernetes_tags(Compute())))["spec"]["template"]["spec"]  # type: ignore[index]
    assert without["containers"][0]["image"] == "repository/code@sha256:0"


def test_the_compute_of_a_run_replaces_that_of_the_pod() -> None:
    declared = Compute(gpus=2, tolerations=[{"key": "spot", "operator": "Exists"}])  # type: ignore[list-item]
    op_tags = stored(kubernetes_tags(declared, {"model": "forest"}, per_run=True))
    asked = {COMPUTE: json.dumps({"gpus": 0, "tolerations": [], "memory": "64Gi"})}
    spec = job_of(requested_pod(op_tags, asked))["spec"]
    assert isinstance(spec, dict)
    pod = spec["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"] == {"memory": "64Gi"}
    assert "tolerations" not in pod and pod["volumes"] == []
    assert spec["template"]["metadata"]["annotations"] == {"mlops-assets/model": "forest"}
    # other steps of the run keep theirs
    other = stored(kubernetes_tags(declared))
    assert requested_pod(other, asked) == other


@pytest.mark.parametrize("tag", ["[]", "no JSON", '{"gpus": -1}'])
def test_a_wrong_compute_of_a_run_is_refused(tag: str) -> None:
    op_tags = stored(kubernetes_tags(Compute(), per_run=True))
    with pytest.raises(SpecificationError, match="mlops/compute is not valid"):
        requested_pod(op_tags, {COMPUTE: tag})
