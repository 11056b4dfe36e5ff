"""A PostgreSQL server that crashes and starts again.

All or nothing is recorded, and the next run repairs.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from mlops_assets.errors import Conflict, StorageError
from mlops_assets_tests.faults.forks import Ended
from mlops_assets_tests.faults.life import REGISTRY, STEPS, opened, watched
from mlops_assets_tests.faults.lives import Life, new_life
from mlops_assets_tests.faults.tally import LONG, Tally
from mlops_assets_tests.servers.postgres import PostgresServer

TRIED = (
    "commit v1",
    "tag",
    "train patiently",
    "record v2 and link v1",
    "predict again",
    "evaluate again",
    "promote",
)
pytestmark = [
    pytest.mark.faults("PostgreSQL is restarted"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def _life_on_postgres(
    tmp_path_factory: pytest.TempPathFactory,
    new_database: Callable[..., str],
    drop_database: Callable[[str], None],
) -> Life:
    used: list[str] = []

    def copy(source: Path, target: Path) -> None:
        """Copy a workspace, and its database to another.

        One that was worked on before is dropped.
        """
        shutil.copytree(source, target)
        if target.name == "workspace" and used:
            drop_database(used.pop())
        copied = new_database(make_url((source / REGISTRY).read_text()).database)
        (target / REGISTRY).write_text(copied)
        if target.name == "workspace":
            used.append(copied)

    life = new_life(tmp_path_factory.mktemp("life"), copy)
    (life.root / REGISTRY).write_text(new_database())
    with life.temporary_files():
        life.live()
    return life


@pytest.fixture
def life(_life_on_postgres: Life) -> Iterator[Life]:
    """A life whose registry is in PostgreSQL."""
    with _life_on_postgres.temporary_files():
        yield _life_on_postgres


@pytest.mark.parametrize("step", TRIED if LONG else TRIED[-2:])
def test_whenever_the_server_is_restarted_all_or_nothing_is_recorded(
    step: str, life: Life, postgres_server: PostgresServer, tally: Tally
) -> None:
    for number, operation in enumerate(life.operations[step]):
        life.restore(step)
        ended = Ended(0)
        with tally.trial(f"{step}, before {number}, {operation}") as trial:
            store = opened(life.root)
            try:
                with watched(life.root, _restart_before(number, postgres_server)):
                    STEPS[step](store)
                ended.acknowledged["step"] = True
            except (StorageError, Conflict) as error:
                assert "registry postgresql" in str(error) and "; " in str(error)
            finally:
                store.registry.close()
            trial.outcome = life.outcome(step, ended)


def _restart_before(number: int, server: PostgresServer) -> Callable[[str], None]:
    left = iter(range(number, -1, -1))

    def restart(_what: str) -> None:
        if next(left, -1) == 0:
            server.restart()

    return restart
