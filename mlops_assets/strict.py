"""The base of everything a user declares: immutable, and refusing unknown keys."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from mlops_assets.errors import NameRefused, SettingsError
from mlops_assets.names import check_label, check_name

T = TypeVar("T", bound=BaseModel)


class Strict(BaseModel):
    """An immutable model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@contextmanager
def refusing(kind: type[Exception]) -> Iterator[None]:
    """Raise errors of a kind as ValueError, which pydantic reports with the place of the value."""
    try:
        yield
    except kind as error:
        raise ValueError(str(error)) from error


def _declared_name(name: str) -> str:
    with refusing(NameRefused):
        return check_name(name)


def _declared_alias(alias: str) -> str:
    with refusing(NameRefused):
        return check_label(alias, "alias")


DeclaredName = Annotated[str, AfterValidator(_declared_name)]
DeclaredAlias = Annotated[str, AfterValidator(_declared_alias)]


def require_unique(names: Sequence[str], kind: str) -> None:
    """Refuse declarations of the same name, in a validator.

    Args:
        names: of all.
        kind: of what is declared, in the plural.
    """
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"several {kind} are named {', '.join(sorted(repeated))}")


def listed_problems(error: ValidationError, whole: str, limit: int = 1) -> str:
    """Return the first problems of a document, each with its place.

    Args:
        error: has all of them.
        whole: place of those that are of the whole document.
        limit: problems at most.
    """
    return "; ".join(
        f"{'.'.join(map(str, e['loc'])) or whole}: {e['msg']}" for e in error.errors()[:limit]
    )


def read_settings_file(model: type[T], variable: str, path: Path) -> T:
    """Read a YAML file that a setting names.

    Args:
        model: of its content.
        variable: name of the setting.
        path: of the file.

    Raises:
        SettingsError: the file cannot be read, or is invalid.
    """
    try:
        return model.model_validate(yaml.safe_load(path.read_text()))
    except ValidationError as error:
        listed = listed_problems(error, "the file", 5)
        raise SettingsError(f"{variable}={path}: {listed}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        # of several lines, where it is not YAML
        reason = " ".join(str(error).split())
        raise SettingsError(f"{variable}={path} cannot be read: {reason}") from error
