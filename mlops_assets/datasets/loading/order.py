"""The order in which a shuffled split is read when neighbours are to stay together.

Runs of neighbours come in a random order, and samples are shuffled in windows of many runs, so that
what is read at once is in few places. The order depends on the data version and the seed alone,
not on where or how its files are stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Runs:
    """Runs of neighbours in a split.

    Attributes:
        order: positions of all samples, neighbours beside each other.
        starts: where the runs begin in it, ascending.
        window: number of samples that are shuffled together.
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    window: int

    def shuffled(self, generator: np.random.Generator, batch: int) -> NDArray[np.int64]:
        """Return the positions of all samples in a random order.

        Args:
            generator: draws it.
            batch: size of a batch; windows are as many whole batches.
        """
        runs = np.split(self.order, self.starts[1:])
        order = np.concatenate([runs[number] for number in generator.permutation(len(runs))])
        window = max(batch, self.window // batch * batch)
        for start in range(0, len(order), window):
            generator.shuffle(order[start : start + window])
        return order
