"""The version of MLM that records are written in: one setting, the extension's schema file.

Catalogues validate each extension that a record lists, so a version is written only where its
schema is at hand. Without the setting it is the newest that the extension's repository has.
"""

from __future__ import annotations

import json
import re

from mlops_assets.errors import SettingsError
from mlops_assets.settings import mlm_schema

DEFAULT = "https://stac-extensions.github.io/mlm/v1.5.2/schema.json"
# those whose fields are as written here; 1.6 differs from 1.5 in none of them
_SUPPORTED = re.compile(r"https://stac-extensions\.github\.io/mlm/v1\.[56]\.\d+/schema\.json")


def schema_uri() -> str:
    """Return the URI of the MLM schema that records name.

    Raises:
        SettingsError: the configured file is not the schema of a supported version.
    """
    path = mlm_schema()
    if path is None:
        return DEFAULT
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"MLOPS_MLM_SCHEMA={path} cannot be read as JSON: {error}; name the file schema.json of"
            " a version of the MLM extension"
        ) from error
    uri = str(document.get("$id", "")).rstrip("#") if isinstance(document, dict) else ""
    if not _SUPPORTED.fullmatch(uri):
        raise SettingsError(
            f"MLOPS_MLM_SCHEMA={path} is the schema {uri or 'of no $id'}; name that of MLM v1.5 or"
            " v1.6"
        )
    return uri
