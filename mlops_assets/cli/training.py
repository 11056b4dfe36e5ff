"""`mlops train` and `mlops predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from mlops_assets.cli.output import Json, Module, console, open_store, show_one
from mlops_assets.errors import NotFound, SpecificationError
from mlops_assets.names import Reference
from mlops_assets.registry import ModelVersion
from mlops_assets.settings import Settings


def train(
    reference: Annotated[str, typer.Argument(help="model, or model@data-version or tag; the newest if not given.")],
    param: Annotated[list[str] | None, typer.Option("--param", "-p", help="NAME=VALUE; also seed=N.")] = None,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Train a model on a data version, export, evaluate and record it."""
    from mlops_assets.components.launching import open_project

    wanted = Reference.parse(reference)
    config = dict(_parameter(text) for text in param or [])
    with open_project(Settings.from_environment(), module) as project:
        dataset = _dataset_of(project.definitions, wanted.name)
        data = open_store().registry.data_version(Reference(dataset, wanted.what))
        project.sync(dataset)
        with console.status(f"training {wanted.name} on {dataset}@{data.version} …"):
            result = project.launch(
                f"{wanted.name}_lifecycle",
                partition=data.version,
                ops={f"{wanted.name}__trained_model": {"config": config}} if config else None,
            )
    row = trained_by(result.run_id, wanted.name)
    if as_json:
        from mlops_assets.cli.models import describe

        show_one(describe(open_store().registry, row), as_json=True)
        return
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in row.metrics.items())
    console.print(f"{row.model}@{row.version}: {metrics}", highlight=False, soft_wrap=True)


def predict(
    reference: Annotated[str, typer.Argument(help="model@version or model@alias.")],
    scene: Annotated[Path, typer.Argument(help="A raster with the bands the model takes.")],
) -> None:
    """Classify a whole scene into a GeoTIFF and a picture in the workspace."""
    from mlops_assets.serving.scenes import predict_scene

    store = open_store()
    row = store.registry.model_version(Reference.parse(reference))
    try:
        found = predict_scene(store, row, scene, scene.stem)
    except ValueError as error:
        raise SpecificationError(f"{scene}: {error}") from error
    console.print(
        f"{store.workspace.root / found.raster.path}\n{store.workspace.root / found.picture.path}", soft_wrap=True
    )


def trained_by(dagster_run: str, model: str) -> ModelVersion:
    """Return the model version that a Dagster run has made."""
    registry = open_store().registry
    run = registry.runs(model, orchestration_run=dagster_run)[-1]
    return registry.model_version(Reference(model, run.model_version))


def _parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--param")
    return name.strip(), yaml.safe_load(value)


def _dataset_of(definitions: Any, model: str) -> str:
    """Return the dataset of a declared model."""
    import dagster as dg

    graph = definitions.resolve_asset_graph()
    key = dg.AssetKey([model, "trained_model"])
    if key not in graph.get_all_asset_keys():
        models = sorted(k.path[0] for k in graph.get_all_asset_keys() if k.path[-1] == "trained_model")
        raise NotFound(f"no model is called {model!r}; this project declares {', '.join(models) or 'none'}")
    return str(next(iter(graph.get(key).parent_keys)).path[0])
