"""Example declarations, a file for each layout: a dataset and a model of it.

The docs, the docs tab of Dagster's UI and `dg scaffold defs` show these files.
"""

from importlib.resources import files
from typing import Literal, get_args

ExampleName = Literal["table", "image_folder", "scenes_rasters", "scenes_polygons", "stac"]
_SEPARATOR = "---\n"


def example(name: ExampleName, component: str) -> str:
    """Return the document of an example that declares a component.

    Args:
        name: the layout.
        component: name of the component, such as `TrainingDataset`.
    """
    text = files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    kind = f"type: mlops_assets.components.{component}\n"
    return next(document for document in text.split(_SEPARATOR) if kind in document)


def examples(component: str) -> str:
    """Return the documents of all examples that declare a component, as one YAML text."""
    return _SEPARATOR.join(example(name, component) for name in get_args(ExampleName))
