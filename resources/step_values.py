"""Values that steps of a run hand on, as JSON in the workspace, which every pod of a run reaches.

Dagster's own way pickles them into a folder of one machine.
"""

import json
from typing import Any

import dagster as dg

from mlops_assets.paths import step_value_key
from resources.store import StoreResource


class StepValues(dg.IOManager):
    """Writes what a step returns, and reads it for the steps after it.

    A re-execution from failure reads what the run before it has written.
    """

    def __init__(self, store: StoreResource) -> None:
        self._store = store

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Write the value of an output."""
        self._store.open().workspace.put(_key(context), json.dumps(obj).encode())

    def load_input(self, context: dg.InputContext) -> Any:
        """Return the value of an output."""
        if context.upstream_output is None:
            raise dg.DagsterInvariantViolationError("an input of a step comes from another step")
        return json.loads(self._store.open().workspace.get(_key(context.upstream_output)))


# a nested ConfigurableResource would make Dagster 1.13 warn of its own deprecated code
@dg.io_manager(required_resource_keys={"store"})
def step_values(context: dg.InitResourceContext) -> StepValues:
    """Return the values of steps in the workspace of the resource `store`."""
    return StepValues(context.resources.store)


def _key(context: dg.OutputContext) -> str:
    run, *names = context.get_identifier()
    return step_value_key(run, names)
