"""Training through the platform, beside the bare loop with the same network, data and seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchmarks.options import Options
from benchmarks.processes import Measured, clean_environment, take_steps
from benchmarks.tables import median, print_table
from mlops_assets.models.compute import Compute
from mlops_assets.training.process.start import environment_for

_EPOCHS = 60
_EPOCHS_ALL = 120
_WANTED = "≤ 3 %"
# glibc otherwise returns the memory of each batch to the system, if nothing larger has been freed
# before: page faults are then a third of the bare loop's time, and none of the platform's
_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "1073741824"}


def measure(options: Options) -> None:
    """Print seconds of both, in turns, and by how much the platform is slower.

    Raises:
        RuntimeError: the last losses of the two differ, so they did not do the same work.
    """
    environment = clean_environment(
        MLOPS_WORKSPACE=str(options.folder / "workspace"), **_MEMORY, **_thread_policy()
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
    for number in range(options.rounds):
        for side in ("ours", "bare") if number % 2 == 0 else ("bare", "ours"):
            found[side].append(take(side))
    losses = {side: {one.facts["loss"] for one in found[side]} for side in found}
    if losses["ours"] != losses["bare"] or len(losses["ours"]) > 1:
        raise RuntimeError(f"the two did not do the same work: last training losses {losses}")
    print_table(
        (
            f"{epochs} epochs, median of {options.rounds}",
            "platform",
            "bare loop",
            "slower",
            "wanted",
        ),
        [
            _row("fit, s", found, lambda one: one.seconds["fit"], _WANTED),
            _row("fit, CPU s", found, lambda one: one.cpu["fit"], _WANTED),
            _row("with imports, saving and recording, s", found, lambda one: one.seconds["whole"]),
        ],
    )
    print(f"Last training loss of every round on both sides: {losses['ours'].pop()!r}.\n")


def _thread_policy() -> dict[str, str]:
    """Return the variables by which the platform sets the threads of a model's worker."""
    environment = environment_for(Compute(cpus=2))
    return {
        name: value for name, value in environment.items() if name.startswith(("OMP_", "GOMP_"))
    }


def _row(
    what: str,
    found: Mapping[str, Sequence[Measured]],
    figure: Callable[[Measured], float],
    wanted: str = "",
) -> tuple[str, ...]:
    ours, bare = (median(map(figure, found[side])) for side in ("ours", "bare"))
    return what, f"{ours:.1f}", f"{bare:.1f}", f"{ours / bare - 1:+.1%}", wanted
