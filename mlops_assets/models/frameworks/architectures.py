"""Classes that a stored architecture names, checked against those that are trusted.

The check comes before any import: names in a file are data, and no module is imported because a
file names it.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeVar

from mlops_assets.errors import ExportError

T = TypeVar("T")

OURS = ("mlops_assets.training.trainers.",)
CLASS = re.compile(
    r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*"
    r":[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*"
)


@dataclass(frozen=True)
class Trust:
    """The classes that a stored architecture may name, besides its framework's and this package's.

    Attributes:
        architectures: classes that the project's YAML names, as `module:Class`.
        package: a package whose classes are trusted: that of the declared trainer, which wrote the
            architecture.
        imported: whether classes that this process has imported already are trusted.
    """

    architectures: Collection[str] = ()
    package: str | None = None
    imported: bool = True


THIS_PROCESS = Trust()


def trusted_class(
    target: object, trust: Trust, modules: Collection[str], base: type[T], kind: str
) -> type[T]:
    """Return the class that an architecture names, if it is trusted.

    Args:
        target: the value that the file has in place of a class's `module:Class`.
        trust: classes that are trusted besides the framework's own.
        modules: the framework's own modules, and packages, which end in a dot.
        base: the class that it must descend from.
        kind: name for such a class in messages.

    Raises:
        ExportError: it is not trusted, does not exist, or is not such a class.
    """

    def is_named(name: str) -> bool:
        module = name.partition(":")[0]
        own = (
            module == known or (known.endswith(".") and module.startswith(known))
            for known in (*modules, *OURS)
        )
        return any(own) or name in trust.architectures or module.partition(".")[0] == trust.package

    gone = ExportError(
        f"class {str(target)[:200]} of the model does not exist any more, or is not trusted; name"
        " it in the model's declaration ('architectures: [package.module:Class]') and make sure"
        " that it can be imported, or send ONNX"
    )
    if not isinstance(target, str) or not CLASS.fullmatch(target):
        raise gone
    module, _, qualified = target.partition(":")
    found: object = sys.modules.get(module) if trust.imported else None
    if is_named(target):
        try:
            found = importlib.import_module(module)
        except ImportError as error:
            raise gone from error
    for part in qualified.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    if found is None:
        raise gone
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ExportError(f"{target} is not a {kind}; the stored model is not trusted")
    # the module that defines it counts, not one that only imports it
    home = f"{found.__module__}:{found.__qualname__}"
    if home != target and not is_named(home) and not trust.imported:
        raise gone
    return found
