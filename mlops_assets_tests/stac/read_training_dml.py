"""Reads TrainingDML-AI documents with pytdml's own models.

Runs in pytdml's environment: `python FILE DOCUMENT…`.

pytdml 1.1.7 is taken without its `__init__`, which wants PyTorch and minio; and its
`read_from_json` knows only the names of types from before the standard, so its models are given the
document directly, as its own example does. Where an entry is may be left out by the standard, but
the models want the key: it is given as null.
"""

import importlib.util
import json
import sys
import types
from pathlib import Path

package = types.ModuleType("pytdml")
found = importlib.util.find_spec("pytdml")
assert found is not None
package.__path__ = list(found.submodule_search_locations or [])
sys.modules["pytdml"] = package

from pytdml.type.extended_types import (  # type: ignore[import-not-found]  # noqa: E402
    EOTrainingData,
    EOTrainingDataset,
)

for path in sys.argv[1:]:
    document = json.loads(Path(path).read_text())
    # its model of a changeset has no place for EO training data
    if document["type"] == "AI_TDChangeset":
        changed = [*document["add"], *document["modify"], *document["delete"]]
        print(
            document["id"], len([EOTrainingData(**{"extent": None, **entry}) for entry in changed])
        )
        continue
    document = {
        "extent": None,
        **document,
        "data": [{"extent": None, **entry} for entry in document["data"]],
    }
    read = EOTrainingDataset(**document)
    print(
        read.id,
        len(read.data),
        *sorted({label.type for entry in read.data for label in entry.labels}),
    )
