"""The pod of a step on Kubernetes, as the tags of its op, which `k8s_job_executor` reads.

Elsewhere the tags have no effect.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import ValidationError

from mlops_assets.components.naming import COMPUTE
from mlops_assets.errors import SpecificationError
from mlops_assets.models.compute import Compute, Toleration, is_label_value
from mlops_assets.settings import gpu_image, gpu_label
from mlops_assets.strict import listed_problems
from mlops_assets.text.json_values import Json, JsonObject

# tag of an op from which dagster-k8s makes the pod of its step
K8S_CONFIG = "dagster-k8s/config"
# of Nvidia's device plugin: the resource, and the taint that keeps other pods from GPU nodes
GPU_RESOURCE = "nvidia.com/gpu"
# prefix of the labels and annotations of pods
PREFIX = "mlops-assets/"
_SHARED_MEMORY = "shared-memory"


def kubernetes_tags(
    compute: Compute, about: Mapping[str, str] | None = None, *, per_run: bool = False
) -> dict[str, Json]:
    """Return the op tags from which `k8s_job_executor` makes the pod of a step.

    A step that wants a GPU tolerates the taint that GPU nodes usually have, `nvidia.com/gpu`. What
    fails is not repeated by Kubernetes: Dagster starts a step's command once, and a second pod of
    the same Job would end without having done anything.

    Args:
        compute: as declared.
        about: what the step works on, `model` or `dataset` → name: labels and annotations of the
            pod.
        per_run: whether the tag `mlops/compute` of a run changes the compute of this step.
    """
    container: JsonObject = {"resources": _resources(compute)}
    pod: JsonObject = {}
    if _shares_memory(compute):
        container["volume_mounts"] = [{"name": _SHARED_MEMORY, "mount_path": "/dev/shm"}]  # nosec B108
        medium: JsonObject = {"medium": "Memory"}
        if compute.shared_memory:
            medium["size_limit"] = compute.shared_memory
        pod["volumes"] = [{"name": _SHARED_MEMORY, "empty_dir": medium}]
    image = gpu_image() if compute.gpus else None
    if image:
        container["image"] = image
        container["env"] = [{"name": "MLOPS_CONTAINER", "value": image}]
    if selector := _node_selector(compute):
        pod["node_selector"] = selector
    if tolerations := _tolerations(compute):
        pod["tolerations"] = tolerations
    if compute.priority_class:
        pod["priority_class_name"] = compute.priority_class
    job: JsonObject = {"backoff_limit": 0}
    if compute.deadline:
        job["active_deadline_seconds"] = compute.deadline
    config: JsonObject = {"container_config": container, "job_spec_config": job}
    if pod:
        config["pod_spec_config"] = pod
    if about:
        config["pod_template_spec_metadata"] = _metadata(about)
    tags: dict[str, Json] = {K8S_CONFIG: config}
    if per_run:
        # Dagster reads the values of other tags of an op as texts
        tags[COMPUTE] = json.dumps(compute.model_dump(mode="json"), sort_keys=True)
    return tags


def requested_compute(declared: Compute, tags: Mapping[str, str]) -> Compute:
    """Return the compute of a step in a run.

    Args:
        declared: by the model.
        tags: of the run; `mlops/compute` has, as JSON, what differs from the declared compute.

    Raises:
        SpecificationError: the tag is not valid.
    """
    asked = tags.get(COMPUTE)
    if asked is None:
        return declared
    try:
        return Compute.model_validate({**declared.model_dump(), **json.loads(asked)})
    except ValidationError as error:
        reason = listed_problems(error, "all of it", error.error_count())
    except (TypeError, ValueError):
        reason = "it is not a JSON object"
    raise SpecificationError(f"the tag {COMPUTE} is not valid: {reason}")


def requested_pod(op_tags: Mapping[str, str], run_tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a step's op in a run, with the pod that the run asks for.

    Args:
        op_tags: as Dagster keeps those of `kubernetes_tags`.
        run_tags: of the run.

    Raises:
        SpecificationError: the tag `mlops/compute` of the run is not valid.
    """
    declared = op_tags.get(COMPUTE)
    if declared is None or COMPUTE not in run_tags:
        return dict(op_tags)
    compute = requested_compute(Compute.model_validate_json(declared), run_tags)
    config = json.loads(op_tags[K8S_CONFIG])
    metadata = config.get("pod_template_spec_metadata")
    changed = kubernetes_tags(compute)[K8S_CONFIG]
    if metadata and isinstance(changed, dict):
        changed["pod_template_spec_metadata"] = metadata
    return {**op_tags, K8S_CONFIG: json.dumps(changed)}


def _shares_memory(compute: Compute) -> bool:
    """Return whether a pod gets a /dev/shm of its own; that of containers has 64 MiB.

    PyTorch's loaders and NCCL pass arrays on through it, and crash where it is full.
    """
    return compute.shared_memory is not None or compute.worker_processes > 1


def _resources(compute: Compute) -> JsonObject:
    requests: JsonObject = {"cpu": f"{compute.cpus:g}", "memory": compute.memory}
    limits: JsonObject = {"memory": compute.memory}
    if compute.gpus:
        limits[GPU_RESOURCE] = str(compute.gpus)
    if compute.ephemeral_storage:
        requests["ephemeral-storage"] = limits["ephemeral-storage"] = compute.ephemeral_storage
    return {"requests": requests, "limits": limits}


def _node_selector(compute: Compute) -> JsonObject:
    selector: JsonObject = dict(compute.node_selector)
    if compute.gpus and compute.gpu_type:
        selector[gpu_label()] = compute.gpu_type
    return selector


def _tolerations(compute: Compute) -> list[Json]:
    usual = Toleration(key=GPU_RESOURCE, operator="Exists", effect="NoSchedule")
    declared = list(compute.tolerations)
    if compute.gpus and usual not in declared:
        declared.append(usual)
    return [_toleration(each) for each in declared]


def _toleration(toleration: Toleration) -> JsonObject:
    fields = toleration.model_dump(mode="json", exclude_none=True)
    if "seconds" in fields:
        fields["toleration_seconds"] = fields.pop("seconds")
    return fields


def _metadata(about: Mapping[str, str]) -> JsonObject:
    """Return annotations with all names, and labels with those that can be labels."""
    annotations: JsonObject = {f"{PREFIX}{kind}": name for kind, name in about.items()}
    labels: JsonObject = {
        f"{PREFIX}{kind}": name for kind, name in about.items() if is_label_value(name)
    }
    return {"annotations": annotations, "labels": labels}
