"""Links from an asset to the code behind it.

Dagster itself adds the file and line of the declaration.
"""

from __future__ import annotations

import inspect

import dagster as dg

from mlops_assets.training.functions import UserFunction


def code_reference(function: UserFunction, kind: str) -> dict[str, dg.CodeReferencesMetadataValue]:
    """Return the metadata that links a user's function, by file and line where it has one.

    Args:
        function: a trainer, for instance.
        kind: what it is, as the label of the link.
    """
    code = getattr(inspect.unwrap(function.function), "__code__", None)
    reference = dg.LocalFileCodeReference(
        file_path=str(function.file),
        line_number=code.co_firstlineno if code else None,
        label=kind,
    )
    found = dg.CodeReferencesMetadataValue(code_references=[reference])
    return {"dagster/code_references": found}
