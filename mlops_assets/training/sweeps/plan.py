"""The plan of a sweep, validated before launch, and the lock of the process that runs it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import Conflict, SpecificationError
from mlops_assets.extras import needs
from mlops_assets.models.parameters import document
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import check_key
from mlops_assets.paths import sweep_key, sweep_owner
from mlops_assets.principals import Role
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.store import Store
from mlops_assets.text.json_values import JsonObject
from mlops_assets.training.sweeps.objective import direction_of
from mlops_assets.training.sweeps.settings import DEFAULT_TRIALS, SweepSettings
from mlops_assets.training.sweeps.space import Space, space_of
from mlops_assets.training.trainers import load_trainer

if TYPE_CHECKING:
    from mlops_assets.training.sweeps.search import Search

# settings that may change each time a sweep is started
_CHANGEABLE = {"trials", "parallel", "timeout"}


@dataclass(frozen=True)
class Plan:
    """A sweep that can be run.

    Attributes:
        name: of the sweep.
        specification: the model.
        data_version: version of its dataset.
        settings: as the user wrote them.
        space: the parameters of the trials.
        tags: of the trials.
    """

    name: str
    specification: ModelSpecification
    data_version: str
    settings: SweepSettings
    space: Space
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.specification.name

    @property
    def trials(self) -> int:
        """The number of trials to run in all; a grid has no more than its points."""
        if self.settings.method == "grid":
            grid = self.space.grid or 0
            return min(self.settings.trials or grid, grid)
        return self.settings.trials or DEFAULT_TRIALS

    def search(self) -> Search:
        """Return the search of the space."""
        from mlops_assets.training.sweeps.search import Search

        return Search(self.space, self.settings.method, self.settings.seed)

    @contextmanager
    def claimed(self, store: Store) -> Iterator[None]:
        """Hold the lock of the sweep, so that no other process runs it.

        Raises:
            Conflict: another process holds it, or a sweep of this name has other settings.
            Forbidden: the caller may not train; nothing was written.
        """
        store.registry.principal.require(Role.SCIENTIST, "start sweep")
        with ExitStack() as held:
            try:
                held.enter_context(
                    store.registry.lock(f"sweep-{self.model}-{self.name}", timeout=0.5)
                )
            except Conflict as error:
                raise Conflict(
                    f"sweep {self.name} of {self.model} is running in another process; wait for it,"
                    " or cancel it first"
                ) from error
            self._require_same(store)
            yield

    def _require_same(self, store: Store) -> None:
        key = sweep_key(self.model, self.name)
        document = _document(self)
        if not store.registry.files_at(key):
            file = store.workspace.put(key, json_bytes(document))
            store.registry.add_files(sweep_owner(self.model, self.name), [file])
            return
        found = json.loads(read_published(store.workspace, store.registry, key))
        other = sorted(
            name for name in {*document, *found} if document.get(name) != found.get(name)
        )
        if other:
            raise Conflict(
                f"sweep {self.name} of {self.model} was begun with other {', '.join(other)}; use"
                " another name for this one"
            )


def plan_sweep(
    specification: ModelSpecification,
    data_version: str,
    settings: SweepSettings,
    name: str | None = None,
    where: str = "space",
) -> Plan:
    """Return a validated sweep.

    Args:
        specification: the model.
        data_version: version of its dataset.
        settings: as the user wrote them.
        name: of the sweep; derived from all that determines its trials if not given, so that an
            equal sweep continues this one.
        where: name of the settings in errors, such as their file.

    Raises:
        SpecificationError: the trainer refuses a parameter or a value.
        TrainerError: the trainer cannot be loaded.
        NameRefused: the name cannot be part of a path.
        MissingExtra: Optuna is not installed.
    """
    with needs("sweeps", "a sweep"):
        import optuna  # noqa: F401
    trainer = load_trainer(specification.trainer)
    declared = document(trainer.parameters(specification.params)) if specification.params else {}
    space = space_of(settings, trainer, declared, where)
    if settings.metric is not None:
        try:
            direction_of(settings.metric, settings.direction)
        except SpecificationError as error:
            raise SpecificationError(f"{where}: {error}") from error
    plan = Plan("", specification, data_version, settings, space)
    if name is None:
        digest = hashlib.sha256(json.dumps(_document(plan), sort_keys=True).encode()).hexdigest()
        name = f"{data_version}-{settings.method}-{digest[:8]}"
    return Plan(check_key(name, "sweep"), specification, data_version, settings, space)


def _document(plan: Plan) -> JsonObject:
    """Return all that determines the trials, as JSON values."""
    specification = plan.specification.model_dump(mode="json")
    model = {
        name: specification[name]
        for name in ("dataset", "trainer", "seed", "inputs", "bands", "scaling")
    }
    settings = plan.settings.model_dump(mode="json", exclude=_CHANGEABLE | {"parameters"})
    space = {name: asdict(axis) for name, axis in plan.space.axes.items()}
    found = {**{f"model.{name}": value for name, value in model.items()}, **settings}
    document = {
        "data_version": plan.data_version,
        "parameters": {**plan.space.fixed, **space},
        **found,
    }
    values: JsonObject = json.loads(json.dumps(document))
    return values
