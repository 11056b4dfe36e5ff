"""Labels as names of a model version's classes, or as numbers.

The rule is that of labels of tables (`datasets.readers.table_roles`): a class is named by its name
or by its value, `007` stays `007`, and `1.0` is 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.readers.table_columns import values_by_text
from mlops_assets.datasets.readers.table_roles import one_spelling, to_numbers
from mlops_assets.datasets.versions.contents import ClassName
from mlops_assets.errors import TruthRefused
from mlops_assets.monitoring.truth.label_table import LabelTable
from mlops_assets.monitoring.truth.texts import objects_of
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.model_documents import Signature
from mlops_assets.text.listing import named


@dataclass(frozen=True)
class MatchedLabels:
    """Labels as a model version understands them.

    Attributes:
        names: of classes, (n,); None where a label is none of its classes, and for regression.
        numbers: (n,), finite; NaN where a label is not a number, and for classes.
        expected: what labels are, for messages.
    """

    names: NDArray[np.object_]
    numbers: NDArray[np.float64]
    expected: str

    @property
    def known(self) -> NDArray[np.bool_]:
        """Labels that the version understands, (n,)."""
        named = np.array([name is not None for name in self.names], dtype=bool)
        return named | np.isfinite(self.numbers)


def match_labels(row: ModelVersion, table: LabelTable) -> MatchedLabels:
    """Match labels with the classes of a model version.

    Args:
        row: the model version.
        table: the labels.

    Raises:
        TruthRefused: it predicts each pixel of a window, which has no label of its own.
    """
    signature = Signature.of(row)
    if signature.view == "window":
        raise TruthRefused(
            f"{row.model}@{row.version} predicts every pixel of a window, and a label is of a whole"
            " sample; compare its maps with labels as a new data version instead"
        )
    texts = pd.Series(table.labels, dtype="str")
    if signature.classes is None:
        numbers = to_numbers(texts, table.decimal).to_numpy(dtype=np.float64)
        numbers = np.where(np.isfinite(numbers), numbers, np.nan)
        nothing = np.full(len(table), None, dtype=object)
        return MatchedLabels(nothing, numbers, "finite numbers")
    entries = [ClassName(value=str(entry.value), name=entry.name) for entry in signature.classes]
    by_text = values_by_text(entries)
    by_value = {str(entry.value): entry.name for entry in signature.classes}
    names = {text: by_value[value] for text, value in by_text.items()}
    spelled = one_spelling({"": texts})[""].map(names)
    found = spelled.where(spelled.notna(), texts.map(names))
    return MatchedLabels(
        objects_of(found),
        np.full(len(table), np.nan),
        f"the classes {named([entry.name for entry in signature.classes])}",
    )
