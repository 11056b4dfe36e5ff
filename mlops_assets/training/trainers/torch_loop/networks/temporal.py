"""Networks for time series: temporal convolutions, and light attention over dates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mlops_assets.training.trainers.torch_loop.networks.layers import ScaledNetwork, group_norm

# longest wavelength of the position of a date, in days; Garnot and Landrieu (2020)
PERIOD = 1000.0


class SeriesNetwork(ScaledNetwork):
    """A network for rows of dates × channels, ordered by date or by channel."""

    def __init__(self, steps: int, channels: int, classes: int, by_date: bool) -> None:
        super().__init__(steps * channels, classes)
        self.steps = steps
        self.channels = channels
        self.classes = classes
        self.by_date = by_date

    def series(self, rows: Tensor) -> Tensor:
        """Return (n, channels, steps) from rows (n, steps * channels)."""
        if self.by_date:
            return rows.view(-1, self.steps, self.channels).transpose(1, 2)
        return rows.view(-1, self.channels, self.steps)


class TemporalCNN(SeriesNetwork):
    """Three convolutions along time and a dense layer.

    TempCNN of Pelletier, Webb and Petitjean (2019).

    doi:10.3390/rs11050523, with features normalised in groups instead of over the batch.
    """

    def __init__(
        self,
        steps: int,
        channels: int,
        classes: int,
        by_date: bool = False,
        width: int = 64,
        kernel: int = 5,
        dropout: float = 0.2,
    ) -> None:
        """Make the network.

        Args:
            steps: dates.
            channels: values a date.
            classes: scores given; 0 for one number.
            by_date: features are ordered by date, not by channel.
            width: channels of the convolutions; four times as many in the dense layer.
            kernel: dates that a convolution covers; odd.
            dropout: share of features left out in training.
        """
        super().__init__(steps, channels, classes, by_date)
        self.width = width
        self.kernel = kernel
        self.dropout = dropout
        layers: list[nn.Module] = []
        for inputs in (channels, width, width):
            convolution = nn.Conv1d(inputs, width, kernel, padding=kernel // 2)
            layers += [convolution, group_norm(width), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Linear(width * steps, 4 * width),
            group_norm(4 * width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4 * width, self.outputs),
        )

    def body(self, scaled: Tensor) -> Tensor:
        """Return scores (n, classes) or numbers (n, 1)."""
        found: Tensor = self.layers(self.series(scaled))
        return found


class TemporalAttention(SeriesNetwork):
    """Attention with one learnt query a head, each on channels of its own.

    L-TAE of Garnot and Landrieu (2020).

    doi:10.1007/978-3-030-65742-0_12
    """

    positions: Tensor

    def __init__(
        self,
        steps: int,
        channels: int,
        classes: int,
        days: Sequence[float],
        by_date: bool = False,
        width: int = 128,
        heads: int = 16,
        keys: int = 8,
        dropout: float = 0.2,
    ) -> None:
        """Make the network.

        Args:
            steps: dates.
            channels: values a date.
            classes: scores given; 0 for one number.
            days: the day of each date, from any first day.
            by_date: features are ordered by date, not by channel.
            width: channels; a multiple of `heads`.
            heads: of the attention.
            keys: length of a head's keys.
            dropout: share of features left out in training.
        """
        super().__init__(steps, channels, classes, by_date)
        self.days = list(days)
        self.width = width
        self.heads = heads
        self.keys = keys
        self.dropout = dropout
        self.embed = nn.Linear(channels, width)
        wavelengths = PERIOD ** (torch.arange(width // 2 + width % 2) / (width / 2))
        angles = torch.tensor(self.days, dtype=torch.float32)[:, None] / wavelengths
        self.register_buffer("positions", torch.cat([angles.sin(), angles.cos()], 1)[:, :width])
        self.to_keys = nn.Linear(width, heads * keys)
        self.query = nn.Parameter(torch.randn(heads, keys) * (2 / keys) ** 0.5)
        self.head = nn.Sequential(
            nn.Linear(width, width),
            group_norm(width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(width, self.outputs),
        )

    def body(self, scaled: Tensor) -> Tensor:
        """Return scores (n, classes) or numbers (n, 1)."""
        features = self.embed(self.series(scaled).transpose(1, 2)) + self.positions
        keys = self.to_keys(features).view(-1, self.steps, self.heads, self.keys)
        attention = torch.softmax((keys * self.query).sum(3) / self.keys**0.5, 1)
        values = features.view(-1, self.steps, self.heads, self.width // self.heads)
        found: Tensor = self.head((values * attention[..., None]).sum(1).flatten(1))
        return found
