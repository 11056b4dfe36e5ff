"""Ready-made trainers, usable from YAML alone, and the import of a trainer by its name."""

from __future__ import annotations

from mlops_assets.errors import TrainerError
from mlops_assets.training.functions import FunctionKind, UserFunction, load_function

# `(data, params, run) -> model`
TRAINER = FunctionKind("trainer", ("data", "params", "run"), TrainerError)
Trainer = UserFunction


def load_trainer(name: str) -> Trainer:
    """Import a trainer.

    Args:
        name: `package.module:function`; the function is declared as `(data, params, run)`, with a
            pydantic model as the type of `params`.

    Returns:
        The trainer, whose function has not been called.

    Raises:
        TrainerError: the module or function is missing, or its `params` argument has no typed
            model.
    """
    return load_function(TRAINER, name)
