"""Text of others in figures: a formula in a class's name must end nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from mlops_assets.datasets.quality.figures import class_counts
from mlops_assets.models.evaluation.figures import confusion_matrix, learning_curves
from mlops_assets.text.figures import drawn

FORMULAS = [r"$\frac{$", r"a$\foo$b", r"\$\frac{\$$", "\x1b[2J"]


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.filterwarnings("ignore:Glyph")
def test_a_name_is_drawn_as_it_is(name: str) -> None:
    names = [name, "b"]
    counts = pd.DataFrame({"train": [3, 1], "validation": [1, 1], "test": [1, 1]}, index=names)
    assert class_counts(counts, "samples", "title").startswith(b"\x89PNG")
    assert confusion_matrix(np.array([[3, 1], [0, 2]]), names, "title").startswith(b"\x89PNG")
    assert learning_curves({name: [(0, 1.0), (1, 0.5)]}, "title")


def test_money_is_no_formula() -> None:
    text: Any = Figure().text(0, 0, drawn("5$ to 7$"))
    assert text._preprocess_math(text.get_text()) == ("5$ to 7$", False)
