"""Commands and code that use a model version, with its reference and places filled in."""

from __future__ import annotations

import shlex

from mlops_assets.names import Reference
from mlops_assets.paths import map_key, model_folder, model_item_key
from mlops_assets.principals import Visibility
from mlops_assets.registry import Map, ModelVersion
from mlops_assets.registry.model_documents import Signature
from mlops_assets.registry.records.maps import MapFilter
from mlops_assets.stac.maps.document import read_document
from mlops_assets.store import Store

_FILE = "file://"


def version_snippets(store: Store, reference: Reference) -> dict[str, str]:
    """Return the name of a tool → code that uses a model version with it.

    Args:
        store: workspace and registry.
        reference: to the version; an alias stays one where the tool follows it.

    Raises:
        IntegrityError: the document of its newest map is not as it was published, or the registry
            has an invalid signature of the version.
        NotFound: there is no such version that the principal may see.
    """
    row = store.registry.model_version(reference)
    name = str(reference)
    newest = store.registry.maps(MapFilter(model=row.model, version=row.version), limit=1)
    found = {
        "predict": f"mlops predict {name} {shlex.quote(_scene(store, newest))} --out map.tif",
        "serve": _serve(row, name),
        "onnxruntime": _onnxruntime(store, row),
        "pystac": _pystac(store, row),
    }
    if newest:
        found["QGIS"] = _qgis(store, newest[0])
    return found


def _scene(store: Store, newest: list[Map]) -> str:
    """Return a scene that the version has mapped before, else a name to be replaced."""
    for row in newest:
        for scene in read_document(store, row).scenes:
            return scene.href.removeprefix(_FILE)
    return "scene.tif"


def _sample(row: ModelVersion) -> list[int]:
    return [1, *Signature.of(row).shape]


def _serve(row: ModelVersion, name: str) -> str:
    shape = _sample(row)
    return f"""mlops serve {name} &
curl -s 127.0.0.1:8000/v2/models/{row.model}

# a sample of zeros, of the shape that the model takes
python - <<'PYTHON' | curl -s 127.0.0.1:8000/v2/models/{row.model}/infer --data @-
import json, math
shape = {shape}
tensor = {{"name": "input", "datatype": "FP32", "shape": shape, "data": [0.0] * math.prod(shape)}}
print(json.dumps({{"inputs": [tensor]}}))
PYTHON
"""


def _onnxruntime(store: Store, row: ModelVersion) -> str:
    path = store.workspace.where(f"{model_folder(row.model, row.version)}/model.onnx")
    return f"""import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession({path!r})
samples = np.zeros({_sample(row)}, dtype=np.float32)  # raw values, as the data has them
outputs = session.run(None, {{session.get_inputs()[0].name: samples}})
for output, values in zip(session.get_outputs(), outputs):
    print(output.name, values)
"""


def _pystac(store: Store, row: ModelVersion) -> str:
    key = model_item_key(row.model, row.version, row.visibility == Visibility.PRIVATE)
    return f"""import pystac

item = pystac.Item.from_file({store.workspace.where(key)!r})
print(item.id, item.properties["mlm:architecture"])
print(item.assets["model"].get_absolute_href())
"""


def _qgis(store: Store, row: Map) -> str:
    where = store.workspace.where(map_key(row.model, row.version, row.name, ".tif"))
    return f"""# class names and colours come with the file
qgis {shlex.quote(where)}
"""
