"""Secrets that declarations name: they are in environment variables or files, never in YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from mlops_assets.errors import SettingsError
from mlops_assets.settings import secret_variable
from mlops_assets.strict import Strict


class Secret(Strict):
    """Where a secret is.

    Attributes:
        variable: environment variable that holds it.
        file: file that holds it, such as one that Kubernetes mounts; read anew at each use.
    """

    variable: Annotated[str, Field(min_length=1)] | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _one(self) -> Secret:
        if (self.variable is None) == (self.file is None):
            raise ValueError("write either variable or file")
        return self

    def __str__(self) -> str:
        """Return where it is, for messages."""
        return f"environment variable {self.variable}" if self.variable else f"file {self.file}"

    def read(self, owner: str) -> str:
        """Return the secret as it is now.

        Args:
            owner: whose it is, for messages, such as "webhook team".

        Raises:
            SettingsError: it cannot be read, or is empty.
        """
        if self.file is None:
            found = secret_variable(str(self.variable))
        else:
            try:
                found = self.file.read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not text"
                raise SettingsError(
                    f"{owner}: its secret is in {self}, which cannot be read: {reason}"
                ) from None
        if not found:
            raise SettingsError(f"{owner}: its secret is in {self}, which is not set or empty")
        return found
