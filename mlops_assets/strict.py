"""The base of everything a user declares: immutable, and refusing unknown keys."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """An immutable model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)
