"""The base of everything a user declares: committed, and refusing unknown keys."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A committed model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)
