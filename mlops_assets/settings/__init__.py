"""Locations and other settings: one frozen Settings, the only reader of the environment.

No other module reads `os.environ`; all that varies between a laptop and a cluster is here.
"""

from mlops_assets.settings.ci import (
    BranchSettings,
    branch_settings,
    environment_in,
    git_webhooks_file,
    plan_file,
    production_settings,
)
from mlops_assets.settings.configuration import (
    Configuration,
    configuration_names,
    current_environment,
    read_configuration,
)
from mlops_assets.settings.processes import (
    child_environment,
    container_image,
    declared_gpus,
    load_environment_file,
    parent_registry,
    parent_settings,
    set_environment_defaults,
)
from mlops_assets.settings.projects import (
    DEFAULT_MODULE,
    project_folder,
    project_module,
)
from mlops_assets.settings.settings import (
    LogFormat,
    Settings,
    initial_visibility,
    local_user,
    server_url,
    workspace_url,
)
from mlops_assets.settings.variables import (
    S3Keys,
    SigningFiles,
    ca_bundle,
    gpu_image,
    gpu_label,
    map_tiles,
    mlm_schema,
    onnx_provider,
    registry_now,
    s3_keys,
    secret_values,
    secret_variable,
    signing_files,
    streams_data,
    trust_file,
    trusted_sources,
)

__all__ = [
    "DEFAULT_MODULE",
    "BranchSettings",
    "Configuration",
    "LogFormat",
    "S3Keys",
    "Settings",
    "SigningFiles",
    "branch_settings",
    "ca_bundle",
    "child_environment",
    "configuration_names",
    "container_image",
    "current_environment",
    "declared_gpus",
    "environment_in",
    "git_webhooks_file",
    "gpu_image",
    "gpu_label",
    "initial_visibility",
    "load_environment_file",
    "local_user",
    "map_tiles",
    "mlm_schema",
    "onnx_provider",
    "parent_registry",
    "parent_settings",
    "plan_file",
    "production_settings",
    "project_folder",
    "project_module",
    "read_configuration",
    "registry_now",
    "s3_keys",
    "secret_values",
    "secret_variable",
    "server_url",
    "set_environment_defaults",
    "signing_files",
    "streams_data",
    "trust_file",
    "trusted_sources",
    "workspace_url",
]
