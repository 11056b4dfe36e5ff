"""Example declarations: a file for each layout, and for data made from data, an area and a service.

The docs, the docs tab of Dagster's UI and `dg scaffold defs` show these files.
"""

from collections.abc import Iterator
from importlib.resources import files
from typing import Literal, get_args

# the layouts: a dataset and a model of it
ExampleName = Literal["table", "image_folder", "scenes_rasters", "scenes_polygons", "stac"]
PROCESSED = "processed"
AREA = "area"
SERVICE = "service"
_SEPARATOR = "---\n"


def example(name: str, component: str) -> str:
    """Return the document of an example that declares a component.

    Args:
        name: the layout, `processed`, `area` or `service`.
        component: name of the component, such as `TrainingDataset`.
    """
    return next(_documents(name, component))


def examples(component: str) -> str:
    """Return the documents of all examples that declare a component, as one YAML text."""
    names = (*get_args(ExampleName), PROCESSED, AREA, SERVICE)
    return _SEPARATOR.join(text for name in names for text in _documents(name, component))


def _documents(name: str, component: str) -> Iterator[str]:
    text = files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    kind = f"type: mlops_assets.components.{component}\n"
    yield from (document for document in text.split(_SEPARATOR) if kind in document)
