"""The code server of a project, which the hub, Dagster's web servers and its daemon share.

It is Dagster's own, started as `dagster dev` starts it: on a Unix socket that only this user
reaches, and again if it exits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import yaml
from dagster._cli.proxy_server_manager import ProxyServerManager
from dagster._core.workspace.load_target import ModuleTarget

from mlops_assets.components.project.home import prepare_home
from mlops_assets.settings import set_environment_defaults

WORKSPACE_FILE = "workspace.yaml"
# of Dagster's own code, which users cannot follow
_IGNORED = "ignore:Parameter `execution_type`"


@contextmanager
def serve_code(module: str, dagster_home: Path, folder: Path) -> Iterator[Path]:
    """Serve the definitions of a project until the block ends.

    Args:
        module: the definitions.
        dagster_home: of the Dagster instance.
        folder: of this process only, for the file that names the server.

    Yields:
        The workspace file of Dagster that names the server.
    """
    prepare_home(dagster_home)
    set_environment_defaults({"PYTHONWARNINGS": _IGNORED})
    target = ModuleTarget(
        module_name=module, attribute=None, working_directory=str(Path.cwd()), location_name=module
    )
    with (
        dg.DagsterInstance.from_config(str(dagster_home)) as instance,
        ProxyServerManager(
            instance=instance, workspace_load_target=target, code_server_log_level="WARNING"
        ) as servers,
    ):
        file = folder / WORKSPACE_FILE
        partial = file.with_suffix(".part")
        partial.write_text(yaml.safe_dump({"load_from": list(servers.get_code_server_specs())}))
        partial.replace(file)
        yield file
