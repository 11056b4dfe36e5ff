"""The compute that a declaration asks for: limits of a process, and of a pod on Kubernetes.

How a pod is made of it is the business of the components.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from mlops_assets.strict import Strict

# of Kubernetes: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
QUANTITY = r"^\d+(\.\d+)?(Ki|Mi|Gi|Ti)?$"
# https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_DNS = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
MAX_DNS = 253  # characters


def _label_key(key: str) -> str:
    prefix, slash, name = key.rpartition("/")
    if not _LABEL.fullmatch(name) or (slash and not is_dns_name(prefix)):
        raise ValueError(
            f"{key!r} cannot be the key of a label or taint of Kubernetes: write NAME or"
            " DOMAIN/NAME, such as nvidia.com/gpu.product, where NAME has up to 63 letters, digits,"
            " '.', '_' and '-'"
        )
    return key


def _label_value(value: str) -> str:
    if value and not _LABEL.fullmatch(value):
        raise ValueError(
            f"{value!r} cannot be the value of a label of Kubernetes: up to 63 letters, digits,"
            " '.', '_' and '-', with a letter or digit at either end"
        )
    return value


def _dns_name(name: str) -> str:
    if not is_dns_name(name):
        raise ValueError(
            f"{name!r} cannot be a name on Kubernetes: lower-case letters, digits, '-' and '.',"
            f" {MAX_DNS} characters at most"
        )
    return name


def is_dns_name(name: str) -> bool:
    """Return whether a name is a DNS subdomain, as objects of Kubernetes are named."""
    return len(name) <= MAX_DNS and _DNS.fullmatch(name) is not None


def is_label_value(text: str) -> bool:
    """Return whether a text can be the value of a label of Kubernetes."""
    return not text or _LABEL.fullmatch(text) is not None


LabelKey = Annotated[str, AfterValidator(_label_key)]
# YAML reads values such as 1 as numbers
LabelValue = Annotated[str, Field(coerce_numbers_to_str=True), AfterValidator(_label_value)]


def _not_given(value: object) -> bool:
    return value is None or value in ({}, [])


class Toleration(Strict):
    """A taint of nodes that does not keep a step's pod away from them."""

    key: LabelKey = Field(description="Key of the taint, e.g. nvidia.com/gpu.")
    operator: Literal["Equal", "Exists"] = Field(
        default="Equal",
        description="Equal tolerates the taint with this value, Exists that with any.",
    )
    value: LabelValue | None = Field(
        default=None, validate_default=True, description="Value of the taint, of Equal."
    )
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint; any if not given."
    )
    seconds: int | None = Field(
        default=None,
        ge=0,
        description="Seconds for which a pod stays after the taint NoExecute is put on its node.",
    )

    @field_validator("value")
    @classmethod
    def _value_fits(cls, value: str | None, info: ValidationInfo) -> str | None:
        operator = info.data.get("operator")
        if operator == "Exists" and value is not None:
            raise ValueError("'operator: Exists' tolerates any value; remove one of the two")
        if operator == "Equal" and value is None:
            raise ValueError("the taint's value is missing; give it, or write 'operator: Exists'")
        return value

    @field_validator("seconds")
    @classmethod
    def _seconds_fit(cls, seconds: int | None, info: ValidationInfo) -> int | None:
        if seconds is not None and info.data.get("effect") != "NoExecute":
            raise ValueError("only pods with 'effect: NoExecute' have to leave; remove it")
        return seconds


class Compute(Strict):
    """The compute of one step: a pod's requests and limits on Kubernetes.

    All but `cpus`, `memory`, `gpus`, `processes` and `time_limit` is of pods alone, and has no
    effect on a machine without Kubernetes.
    """

    cpus: float = Field(default=1, gt=0, description="Processor cores.")
    memory: str = Field(default="4Gi", pattern=QUANTITY, description="Memory, e.g. 4Gi.")
    gpus: int = Field(
        default=0,
        ge=0,
        description="GPUs; a step that wants one also waits its turn in the pool 'gpu'.",
    )
    processes: int | None = Field(
        default=None,
        ge=1,
        description="Processes that train together under torchrun; one a GPU if not given.",
    )
    time_limit: int | None = Field(
        default=None, ge=1, description="Seconds after which training is stopped."
    )
    gpu_type: LabelValue | None = Field(
        default=None,
        exclude_if=_not_given,
        description=(
            "Kubernetes: which GPUs, by the label that MLOPS_GPU_LABEL names, e.g."
            " NVIDIA-A100-SXM4-80GB."
        ),
    )
    node_selector: dict[LabelKey, LabelValue] = Field(
        default={},
        exclude_if=_not_given,
        description="Kubernetes: labels that the node must have.",
    )
    tolerations: list[Toleration] = Field(
        default=[],
        exclude_if=_not_given,
        description="Kubernetes: taints of nodes that do not keep the pod away.",
    )
    shared_memory: str | None = Field(
        default=None,
        pattern=QUANTITY,
        exclude_if=_not_given,
        description=(
            "Kubernetes: size of /dev/shm, through which loaders and processes of a training pass"
            " arrays on, e.g. 8Gi; it counts as memory."
        ),
    )
    ephemeral_storage: str | None = Field(
        default=None,
        pattern=QUANTITY,
        exclude_if=_not_given,
        description="Kubernetes: disk of the node for caches and scratch files, e.g. 50Gi.",
    )
    priority_class: Annotated[str, AfterValidator(_dns_name)] | None = Field(
        default=None,
        exclude_if=_not_given,
        description="Kubernetes: PriorityClass of the pod, which decides who is pre-empted.",
    )
    deadline: int | None = Field(
        default=None,
        ge=1,
        exclude_if=_not_given,
        description=(
            "Kubernetes: seconds after which the step fails, the wait for a node included."
        ),
    )

    @field_validator("gpu_type")
    @classmethod
    def _is_of_gpus(cls, gpu_type: str | None, info: ValidationInfo) -> str | None:
        if gpu_type and not info.data.get("gpus", 1):
            raise ValueError("gpu_type needs gpus; declare how many, or remove it")
        return gpu_type

    @field_validator("shared_memory")
    @classmethod
    def _fits_into_memory(cls, shared_memory: str | None, info: ValidationInfo) -> str | None:
        memory = info.data.get("memory")
        if shared_memory and memory and bytes_of(shared_memory) > bytes_of(memory):
            raise ValueError(
                f"shared_memory counts as memory, of which there is {memory}; raise memory or"
                " lower it"
            )
        return shared_memory

    @field_validator("deadline")
    @classmethod
    def _allows_the_time_limit(cls, deadline: int | None, info: ValidationInfo) -> int | None:
        limit = info.data.get("time_limit")
        if deadline and limit and deadline <= limit:
            raise ValueError(
                f"the deadline includes the wait for a node and must be longer than time_limit,"
                f" {limit} seconds"
            )
        return deadline

    @property
    def worker_processes(self) -> int:
        """The number of processes that train together."""
        return self.processes or max(1, self.gpus)


def bytes_of(memory: str) -> float:
    """Return the bytes of an amount of memory such as `4Gi`."""
    units = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
    return float(memory[:-2]) * units[memory[-2:]] if memory[-2:] in units else float(memory)
