"""The quality of a data version: statistics on train only, what each split holds, and checks that block training.

One module a subject; `assessment` puts them together, `report` writes them down.
"""

from mlops_assets.datasets.quality.assessment import Quality, assess
from mlops_assets.datasets.quality.checks import CHECKS, Check

__all__ = ["CHECKS", "Check", "Quality", "assess"]
