"""The launch options of a training step.

They are its parameters as a form, and the compute that it asks for.
"""

from collections.abc import Mapping
from enum import Enum
from types import NoneType
from typing import Any

import dagster as dg
from dagster._check import CheckError
from pydantic import Field, create_model

from mlops_assets.models.compute import Compute, bytes_of
from mlops_assets.models.parameters import document, written_mapping
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.training.functions import UserFunction
from mlops_assets.training.trainers import Trainer

# pools of Dagster, whose limits are in dagster.yaml
GPU_POOL = "gpu"
MEMORY_POOL = "memory"
# from which on two trainings do not fit into a workstation of 32 GiB
LARGE_MEMORY = "16Gi"
# types of defaults that Dagster keeps as they are
_KEPT = (bool, int, float, str, list, tuple, dict, Enum, NoneType)


def run_config_type(specification: ModelSpecification, trainer: Trainer) -> type[dg.Config]:
    """Return the run config of training.

    It holds the trainer's parameters, with the YAML's values as defaults, and the seed.
    """
    seed = (int, Field(default=specification.seed, description="Seed of the run."))
    return parameters_type(specification.name, trainer, specification.params, seed=seed)


def parameters_type(
    name: str, function: UserFunction, params: Mapping[str, object], **further: object
) -> type[dg.Config]:
    """Return the run config of a function: its parameters, with declared values as defaults.

    Args:
        name: of the asset that calls it.
        function: has the types of the parameters.
        params: as declared.
        further: fields besides the parameters, as pydantic's `create_model` takes them.
    """
    typed = function.parameters(params)
    values = typed.model_dump() | written_mapping(typed.model_extra or {})
    permissive = function.params_type.model_config.get("extra") == "allow"
    declared = function.params_type.model_fields
    as_json = document(typed)
    fields: dict[str, Any] = {}
    for field, value in values.items():
        if field in declared:
            # such as a path, which Dagster cannot keep
            default = value if isinstance(value, _KEPT) else as_json[field]
            described = Field(default=default, description=declared[field].description)
            fields[field] = (_launchpad_type(declared[field].annotation), described)
        else:
            # null is a value too
            fields[field] = (Any, Field(default=value))
    fields |= further
    base = dg.PermissiveConfig if permissive else dg.Config
    config: type[dg.Config] = create_model(f"{name}_config", __base__=base, **fields)
    return config


def _launchpad_type(annotation: Any) -> object:
    """Return the type if Dagster's forms can express it, else Any.

    The trainer's own model checks it all the same.
    """
    try:
        create_model("Probe", __base__=dg.Config, field=(annotation, ...)).to_config_schema()
    except (dg.DagsterError, CheckError):  # the latter for a choice of numbers
        return Any
    return annotation


def pool_of(compute: Compute) -> str | None:
    """Return the pool in which a training waits its turn; a step can be in one only."""
    if compute.gpus:
        return GPU_POOL
    return MEMORY_POOL if bytes_of(compute.memory) >= bytes_of(LARGE_MEMORY) else None
