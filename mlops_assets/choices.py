"""Fixed choices that declarations and commands have in common.

Only the lists are here; the modules that use a choice define its effect.
"""

from enum import StrEnum
from typing import Literal

Task = Literal["classification", "semantic-segmentation", "regression"]
Method = Literal["tpe", "random", "grid"]
Direction = Literal["minimize", "maximize"]
PrunerName = Literal["median", "hyperband", "none"]
ModelFormat = Literal["dir", "mlflow", "triton", "kserve", "eotdl"]


class SplitName(StrEnum):
    """A part of a data version.

    An enumeration, as the command line takes several of them only so.
    """

    train = "train"
    validation = "validation"
    test = "test"
