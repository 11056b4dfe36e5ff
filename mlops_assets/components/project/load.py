"""Loading a project: all valid declarations, without the invalid ones.

The invalid ones, with the reasons, are found in `declarations`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._utils.warnings import disable_dagster_warnings
from dagster.components.core import decl
from dagster.components.core.defs_module import ComponentPath
from dagster.components.core.load_defs import PLUGIN_COMPONENT_TYPES_JSON_METADATA_KEY
from dagster_shared.yaml_utils import parse_yamls_with_source_position

from mlops_assets.components.areas.predict_job import predict_job
from mlops_assets.components.areas.steps import STEP_VALUES
from mlops_assets.components.naming import LEFT_OUT
from mlops_assets.components.project.dagster_logs import log_as_configured
from mlops_assets.components.project.declarations import (
    WHOLE_FILE,
    DeclarationProblem,
    Place,
    ProjectDeclarations,
    read_declarations,
)
from mlops_assets.components.project.documentation import component_documentation
from mlops_assets.components.registration import registration_sensors
from mlops_assets.components.sensors.issues import issues
from mlops_assets.components.sensors.webhooks import webhooks
from mlops_assets.components.upkeep import upkeep
from mlops_assets.components.verification import verification
from mlops_assets.errors import SettingsError, SpecificationError
from mlops_assets.extras import needs
from mlops_assets.machine import collect_less_garbage, collecting_nothing
from mlops_assets.settings import Settings
from resources import MlflowMirror, StoreResource, step_values

# set by `dagster definitions validate` and `dg check defs`, which are to fail if anything is wrong
VALIDATING = "DAGSTER_IS_DEFS_VALIDATION_CLI"
# whether definitions carry what Dagster's docs tab shows; our own commands, which show none, switch
# it off
documented: ContextVar[bool] = ContextVar("documented", default=True)
log = logging.getLogger(__name__)


def load_project(file: str) -> dg.Definitions:
    """Load the project whose `definitions.py` is `file`.

    It consists of everything in its defs folder, and of the resources that our assets need.

    A wrong declaration, or one of which Dagster cannot build definitions, is left out with a
    warning, and so are the models of a dataset that is. Where Dagster validates definitions, it is
    an error.

    Raises:
        SpecificationError: declarations are wrong and are being validated; each error has file,
            line and key.
    """
    log_as_configured()
    # Dagster resolves jobs and makes its snapshot of them afterwards
    collect_less_garbage()
    with collecting_nothing():
        return _load(file)


def _load(file: str) -> dg.Definitions:
    package = Path(file).resolve().parent
    declared = read_declarations(package / "defs")
    try:
        tree, loaded = _build(package, declared.left_out)
    except Exception:
        found = _not_buildable(package, declared)
        # not the error of one declaration
        if not found:
            raise
        declared = replace(declared, problems=[*declared.problems, *found])
        tree, loaded = _build(package, declared.left_out)
    names = declared.left_out_names()
    if declared.problems:
        if os.environ.get(VALIDATING):
            raise SpecificationError(declared.message())
        subject = ", ".join(names) or "invalid declarations"
        log.warning(
            "left out of the project: %s; all else is loaded. %s", subject, declared.message()
        )
    metadata: dict[str, Any] = {LEFT_OUT: dg.MetadataValue.json(names)} if names else {}
    if documented.get():
        metadata[PLUGIN_COMPONENT_TYPES_JSON_METADATA_KEY] = component_documentation()
    return dg.Definitions.merge(
        loaded,
        verification(),
        upkeep(),
        webhooks(),
        issues(),
        dg.Definitions(
            jobs=[predict_job()],
            sensors=registration_sensors(),
            resources=project_resources(),
            executor=project_executor(),
            component_tree=tree,
            metadata=metadata,
        ),
    )


def project_resources() -> dict[str, object]:
    """Return the resources that our assets, jobs and sensors need, by their keys."""
    return {"store": StoreResource(), "mlflow": MlflowMirror(), STEP_VALUES: step_values}


def project_executor() -> dg.ExecutorDefinition:
    """Return where the steps of a run are executed, by `MLOPS_EXECUTOR`.

    With settings that cannot be used it is this process; a run that needs them reports why.

    Raises:
        MissingExtra: it is Kubernetes, and dagster-k8s is not installed.
    """
    try:
        wanted = Settings.from_environment().executor
    except SettingsError:
        wanted = "in_process"
    if wanted == "multiprocess":
        return dg.multiprocess_executor
    if wanted == "k8s_job":
        with needs("cluster", "MLOPS_EXECUTOR=k8s_job"):
            from mlops_assets.components.pods.executor import pod_executor
        return pod_executor
    return dg.in_process_executor


def _build(package: Path, left_out: Collection[Place]) -> tuple[dg.ComponentTree, dg.Definitions]:
    """Have Dagster build all that is declared, without some documents."""
    tree = dg.ComponentTree.for_project(package)
    # as load_from_defs_folder does: these warnings are about Dagster's own code, not the user's
    with disable_dagster_warnings(), _leaving_out(left_out):
        return tree, tree.build_defs(tree.defs_module_path)


def _not_buildable(package: Path, declared: ProjectDeclarations) -> list[DeclarationProblem]:
    """Return the documents that Dagster cannot build definitions of, each tried on its own."""
    problems: list[DeclarationProblem] = []
    for place, where in declared.documents.items():
        if place in declared.left_out:
            continue
        try:
            _build(package, {*declared.documents, *declared.left_out} - {place})
        except Exception as error:  # noqa: BLE001  of any component
            cause: BaseException = error
            while cause.__cause__ is not None:
                cause = cause.__cause__
            reason = " ".join(str(cause).split())
            problems.append(
                DeclarationProblem(
                    f"{where}: cannot be built: {type(cause).__name__}: {reason}", (place,)
                )
            )
    return problems


@contextmanager
def _leaving_out(left_out: Collection[Place]) -> Iterator[None]:
    """Have Dagster read files of declarations without some documents.

    By itself it ends at the first wrong one.
    """
    read = decl.build_component_decl_from_yaml_file

    def read_good_ones(
        context: dg.ComponentDeclLoadContext, component_def_path: Path
    ) -> decl.ComponentDecl[Any]:
        wrong = {number for path, number in left_out if path == component_def_path}
        if not wrong:
            return read(context, component_def_path)
        documents = {}
        if WHOLE_FILE not in wrong:
            text = component_def_path.read_text(encoding="utf-8")
            documents = dict(
                enumerate(parse_yamls_with_source_position(text, str(component_def_path)))
            )
        good = {number: document for number, document in documents.items() if number not in wrong}
        places = {number: ComponentPath.from_path(context.path, number) for number in good}
        decls: list[Any] = [
            decl.build_component_decl_from_yaml_document(
                context.for_component_loc(places[number]), document, places[number]
            )
            for number, document in good.items()
        ]
        return decl.YamlFileDecl(
            loc=ComponentPath.from_path(context.path),
            context=context,
            decls=decls,
            source_positions=[document.source_position_tree.position for document in good.values()],
        )

    decl.build_component_decl_from_yaml_file = read_good_ones
    try:
        yield
    finally:
        decl.build_component_decl_from_yaml_file = read
