"""The space of a sweep, checked against the trainer's own parameters before any launch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mlops_assets.errors import SpecificationError, TrainerError
from mlops_assets.text.json_values import Json, JsonObject
from mlops_assets.training.sweeps.settings import Choices, Range, SweepSettings
from mlops_assets.training.trainers import Trainer


@dataclass(frozen=True)
class Axis:
    """One parameter that is searched.

    Attributes:
        choices: the values to choose from; None for a range.
        low: smallest value.
        high: largest value, which is a whole number of steps from `low`.
        step: distance of values; None if every number is allowed.
        log: whether its logarithm is searched evenly.
        integer: whether only integers are allowed.
    """

    choices: tuple[Json, ...] | None = None
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False
    integer: bool = False

    @property
    def size(self) -> int | None:
        """The number of values; None if they cannot be counted."""
        if self.choices is not None:
            return len(self.choices)
        return None if self.step is None else round((self.high - self.low) / self.step) + 1

    def value(self, index: int) -> Json:
        """Return the value at an index below `size`."""
        if self.choices is not None:
            return self.choices[index]
        return self.number(self.low + index * (self.step or 0))

    def number(self, value: float) -> float:
        """Return a number of the range as the trainer gets it."""
        if self.integer:
            return round(value)
        # without the rounding errors of adding up steps
        return float(f"{value:.12g}") if self.step else float(value)


@dataclass(frozen=True)
class Space:
    """The parameters of the trials of a sweep.

    Attributes:
        fixed: name → value, the same in all trials.
        axes: name → values that are searched.
    """

    fixed: Mapping[str, Json]
    axes: Mapping[str, Axis]

    @property
    def grid(self) -> int | None:
        """The number of points of a grid over it; None if an axis has no steps."""
        sizes = [axis.size for axis in self.axes.values()]
        return math.prod(size or 0 for size in sizes) if None not in sizes else None

    def point(self, index: int) -> JsonObject:
        """Return a point of the grid; the last parameter changes fastest."""
        found: JsonObject = {}
        for name, axis in reversed(list(self.axes.items())):
            index, position = divmod(index, axis.size or 1)
            found[name] = axis.value(position)
        return {name: found[name] for name in self.axes}


def space_of(
    settings: SweepSettings, trainer: Trainer, declared: Mapping[str, Json], where: str
) -> Space:
    """Return the space that settings describe.

    Args:
        settings: as a user wrote them.
        trainer: has the parameters.
        declared: the model's own parameters, the defaults of those that the sweep does not set.
        where: name of the settings in errors, such as their file.

    Raises:
        SpecificationError: a parameter that the trainer does not have, a value it refuses, or an
            infinite grid.
    """
    written = settings.parameters
    _require_names(written, trainer, where)
    searched = {
        name: value for name, value in written.items() if isinstance(value, Choices | Range)
    }
    common = {
        **declared,
        **{name: value for name, value in written.items() if name not in searched},
    }
    first = {
        name: v.choices[0] if isinstance(v, Choices) else v.min for name, v in searched.items()
    }
    probe = _Probe(trainer, common, first, where)
    fixed = {
        name: probe.accepted(name, written[name], "") for name in written if name not in searched
    }
    space = Space(
        {**declared, **fixed}, {name: probe.axis(name, value) for name, value in searched.items()}
    )
    if not searched:
        raise SpecificationError(
            f"{where}: parameters: none is searched; set 'choices', or 'min' and 'max', of one"
        )
    if settings.method == "grid":
        for name, axis in space.axes.items():
            if axis.size is None:
                raise SpecificationError(
                    f"{where}: parameters.{name}: a grid needs 'step' or 'choices', as there are"
                    f" infinitely many numbers from {axis.low:g} to {axis.high:g}; or use the"
                    " method random or tpe"
                )
    return space


def _require_names(written: Mapping[str, object], trainer: Trainer, where: str) -> None:
    known = trainer.params_type.model_fields
    unknown = [name for name in written if name not in known]
    if unknown and trainer.params_type.model_config.get("extra") != "allow":
        hint = "; the model's seed is not searched" if "seed" in unknown else ""
        raise SpecificationError(
            f"{where}: parameters.{unknown[0]}: {trainer.name} has no such parameter; it has"
            f" {', '.join(known)}{hint}"
        )


class _Probe:
    """The validation of single values by the trainer's own model of its parameters."""

    def __init__(
        self,
        trainer: Trainer,
        common: Mapping[str, object],
        first: Mapping[str, object],
        where: str,
    ) -> None:
        """Prepare the validation.

        Args:
            trainer: has the parameters.
            common: parameters that all trials have in common.
            first: a first value of each parameter that is searched.
            where: name of the settings in errors.
        """
        self._trainer = trainer
        self._common = common
        self._first = first
        self._where = where

    def accepted(self, name: str, value: object, key: str) -> Json:
        """Return a value as the trainer's model converts it.

        Raises:
            SpecificationError: it is invalid.
        """
        try:
            taken = self._trainer.parameters({**self._common, name: value})
        except TrainerError:
            # it may be the absence of other parameters that are searched
            try:
                taken = self._trainer.parameters({**self._common, **self._first, name: value})
            except TrainerError as error:
                raise SpecificationError(
                    f"{self._where}: parameters.{name}{key}: {value!r} is refused: {error}"
                ) from error
        accepted: Json = taken.model_dump(mode="json")[name]
        return accepted

    def axis(self, name: str, written: Choices | Range) -> Axis:
        """Return one parameter's axis; the trainer accepts every choice, and both ends."""
        if isinstance(written, Choices):
            taken = [
                self.accepted(name, value, f".choices.{i}")
                for i, value in enumerate(written.choices)
            ]
            if any(value in taken[:index] for index, value in enumerate(taken)):
                raise SpecificationError(
                    f"{self._where}: parameters.{name}.choices: a value occurs twice; list each"
                    " once"
                )
            return Axis(choices=tuple(taken))
        integer = self._integer(name, written)
        for end in ("min", "max"):
            value = getattr(written, end)
            self.accepted(name, int(value) if integer else float(value), f".{end}")
        step = written.step or (1 if integer and not written.log else None)
        high = written.max
        if step is not None:
            high = written.min + math.floor((written.max - written.min) / step + 1e-9) * step
        return Axis(low=written.min, high=high, step=step, log=written.log, integer=integer)

    def _integer(self, name: str, written: Range) -> bool:
        """Return whether a parameter takes only integers.

        This is as declared; if it is not declared, a number in between is tried.
        """
        numbers = (written.min, written.max, written.step or 1)
        whole = all(value == int(value) for value in numbers)
        if written.integer is not None:
            return written.integer
        if not whole:
            return False
        # an argument passed on: its type is not known
        if name not in self._trainer.params_type.model_fields:
            return all(isinstance(value, int) for value in numbers)
        try:
            self.accepted(name, written.min + 0.3183 * max(1, written.max - written.min), "")
        except SpecificationError:
            return True
        return False
