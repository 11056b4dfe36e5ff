"""Fixed choices that declarations and commands have in common.

Only the lists are here; the modules that use a choice define its effect.
"""

from enum import StrEnum
from typing import Literal, TypeAlias, get_args

Task = Literal["classification", "semantic-segmentation", "regression"]
Method = Literal["tpe", "random", "grid"]
Direction = Literal["minimize", "maximize"]
PrunerName = Literal["median", "hyperband", "none"]
# of a map: its class or value, and what else the scores of a model give
MapOutput: TypeAlias = Literal["class", "probabilities", "confidence", "margin", "entropy"]
MAP_OUTPUTS: tuple[MapOutput, ...] = get_args(MapOutput)
# columns of listings, where any row has them
MAIN_METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "kappa", "rmse", "mae", "r2")
ModelFormat = Literal["dir", "mlflow", "triton", "kserve", "eotdl"]


class SplitName(StrEnum):
    """A part of a data version.

    An enumeration, as the command line takes several of them only so.
    """

    train = "train"
    validation = "validation"
    test = "test"
