"""The quality of a data version.

It covers statistics on train only, the content of each split, and checks that block training.

Each subject has a module; `assessment` combines them, `report` formats them. This package imports
only the list of checks, as definitions load with it.
"""

from mlops_assets.datasets.quality.checks import CHECKS, Check

__all__ = ["CHECKS", "Check"]
