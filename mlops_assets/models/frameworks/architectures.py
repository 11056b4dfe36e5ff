"""Classes that a stored architecture names.

Compared with those that are trusted before anything is imported.

What a file names is data; no module is imported because a file names it.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from mlops_assets.errors import ExportError

OURS = ("mlops_assets.training.trainers.",)
CLASS = re.compile(
    r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*"
    r":[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*"
)


@dataclass(frozen=True)
class Trust:
    """The classes that a stored architecture may name, besides its framework's and this package's.

    Attributes:
        architectures: those that the project's YAML names, as `module:Class`.
        package: whose classes are trusted too: that of a declared trainer, which wrote the
            architecture.
        imported: whether classes are, that this process has imported already.
    """

    architectures: Collection[str] = ()
    package: str | None = None
    imported: bool = True


THIS_PROCESS = Trust()


def trusted_class(
    target: Any, trust: Trust, modules: Collection[str], base: type, what: str
) -> Any:
    """Return the class that an architecture names, if it is trusted.

    Args:
        target: what the file has where a class's `module:Class` belongs.
        trust: what is trusted besides.
        modules: the framework's own modules, and packages that end in a dot.
        base: what it must descend from.
        what: what such a class is, for the message.

    Raises:
        ExportError: it is not trusted, not there, or not such a class.
    """

    def named(name: str) -> bool:
        module = name.partition(":")[0]
        own = (
            module == known or (known.endswith(".") and module.startswith(known))
            for known in (*modules, *OURS)
        )
        return any(own) or name in trust.architectures or module.partition(".")[0] == trust.package

    gone = ExportError(
        f"class {str(target)[:200]} of the model is not there any more, or is not trusted; name it"
        " in the model's declaration ('architectures: [package.module:Class]') and see that it can"
        " be imported, or send ONNX"
    )
    if not isinstance(target, str) or not CLASS.fullmatch(target):
        raise gone
    module, _, qualified = target.partition(":")
    found: Any = sys.modules.get(module) if trust.imported else None
    if named(target):
        try:
            found = importlib.import_module(module)
        except ImportError as error:
            raise gone from error
    for part in qualified.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    if found is None:
        raise gone
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ExportError(f"{target} is no {what}; the stored model is not trusted")
    home = (  # a module that only imports it vouches for nothing
        f"{found.__module__}:{found.__qualname__}"
    )
    if home != target and not named(home) and not trust.imported:
        raise gone
    return found
