"""The base of everything a user declares: immutable, and refusing unknown keys."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from mlops_assets.errors import SettingsError

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
        listed = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in error.errors()[:5]
        )
        raise SettingsError(f"{variable}={path}: {listed}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        # of several lines, where it is not YAML
        reason = " ".join(str(error).split())
        raise SettingsError(f"{variable}={path} cannot be read: {reason}") from error
