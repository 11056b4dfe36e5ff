"""Columns of texts as arrays."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def objects_of(texts: pd.Series) -> NDArray[np.object_]:
    """Return texts as objects, (n,), None where one is missing."""
    found = np.empty(len(texts), dtype=np.object_)
    found[:] = texts.astype(object).where(texts.notna(), None).tolist()
    return found
