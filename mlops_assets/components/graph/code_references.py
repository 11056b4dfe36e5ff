"""Links from an asset to the code behind it.

Dagster itself adds the file and line of the declaration.
"""

from __future__ import annotations

import inspect
import warnings

import dagster as dg

from mlops_assets.training.functions import UserFunction


def code_reference(function: UserFunction, kind: str) -> dict[str, dg.CodeReferencesMetadataValue]:
    """Return the metadata that links a user's function, by file and line where it has one.

    Args:
        function: a trainer, for instance.
        kind: what it is, in the label of the link.
    """
    code = getattr(inspect.unwrap(function.function), "__code__", None)
    with warnings.catch_warnings():
        # code references are beta, which is ours to follow and not the user's to read
        warnings.simplefilter("ignore", dg.BetaWarning)
        reference = dg.LocalFileCodeReference(
            file_path=str(function.file),
            line_number=code.co_firstlineno if code else None,
            label=f"{kind} {function.name}",
        )
        found = dg.CodeReferencesMetadataValue(code_references=[reference])
    return {"dagster/code_references": found}
