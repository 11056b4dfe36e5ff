"""Training through the platform, beside the bare loop with the same network, data and seed."""

from __future__ import annotations

from benchmarks.options import Options
from benchmarks.processes import Measured, clean_environment, take_steps
from benchmarks.tables import median, print_table

_EPOCHS = 60
_EPOCHS_ALL = 120


def measure(options: Options) -> None:
    """Print seconds of both, in turns, and by how much the platform is slower."""
    environment = clean_environment(
        MLOPS_WORKSPACE=str(options.folder / "workspace"), OMP_NUM_THREADS="2"
    )
    epochs = _EPOCHS_ALL if options.all else _EPOCHS

    def take(step: str) -> Measured:
        return take_steps(
            "benchmarks.training_steps",
            step,
            str(options.folder),
            str(epochs),
            environment=environment,
        )

    take("prepare")
    found: dict[str, list[Measured]] = {"ours": [], "bare": []}
    for number in range(max(2, options.rounds)):
        for side in ("ours", "bare") if number % 2 == 0 else ("bare", "ours"):
            found[side].append(take(side))
    ours, bare = (
        median(one.seconds["training"] for one in found[side]) for side in ("ours", "bare")
    )
    whole = median(one.seconds["with the process, saving and recording"] for one in found["ours"])
    losses = [found[side][0].facts["loss"] for side in ("ours", "bare")]
    rows = [
        (
            f"{epochs} epochs of a small CNN",
            f"{ours:.1f}",
            f"{bare:.1f}",
            f"{ours / bare - 1:+.1%}",
            "≤ 3 %",
        )
    ]
    print_table(("training, median", "platform, s", "bare loop, s", "slower by", "wanted"), rows)
    print(
        f"Last training loss {losses[0]:.6f} and {losses[1]:.6f}. With the start of the process,"
        f" saving and recording: {whole:.1f} s.\n"
    )
