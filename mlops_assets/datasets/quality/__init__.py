"""The quality of a data version.

It covers statistics on train only, the content of each split, and checks that block training.

One module a subject; `assessment` puts them together, `report` writes them down. Only the list of
checks is imported here, since definitions load with it.
"""

from mlops_assets.datasets.quality.checks import CHECKS, Check

__all__ = ["CHECKS", "Check"]
