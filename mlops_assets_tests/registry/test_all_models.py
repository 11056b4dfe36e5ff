"""A few rows of each model, compared with all of them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from mlops_assets.registry import Alias, ModelVersion, Registry

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
Rows = list[tuple[int, int, bool, bool, bool]]


def filled(folder: Path, rows: Rows) -> tuple[Registry, set[tuple[str, str]]]:
    """A registry with versions of models: model, data version, recorded, deprecated, production."""
    registry = Registry(f"sqlite:///{folder / str(uuid.uuid4())}.db")
    versions, aliases, deprecated = [], {}, set()
    for number, (model, data, recorded, old, production) in enumerate(rows):
        key = f"m{model}", f"v{data}-{number:08x}"
        versions.append(
            {
                "model": key[0],
                "version": key[1],
                "run_id": str(uuid.UUID(int=number)),
                "dataset": f"d{model % 2}",
                "data_version": f"v{data}",
                "data_digest": "0" * 64,
                "metrics": {"accuracy": 0.5},
                "task": "classification",
                "framework": "sklearn",
                "signature": {},
                "stage": "recorded" if recorded else "trained",
                "created": STARTED + timedelta(minutes=number),
                "visibility": "workspace",
            }
        )
        if old:
            deprecated.add(key)
        if production:
            aliases[key[0]] = key[1]
    with registry._engine.begin() as connection:
        if versions:
            connection.execute(insert(ModelVersion), versions)
        for model_name, version in aliases.items():
            connection.execute(
                insert(Alias).values(
                    model=model_name, alias="production", version=version, since=STARTED
                )
            )
    return registry, deprecated


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(1, 4), st.booleans(), st.booleans(), st.booleans()
        ),
        max_size=14,
    )
)
def test_the_rows_of_each_model_decide_as_all_of_its_rows_do(tmp_path: Path, rows: Rows) -> None:
    registry, deprecated = filled(tmp_path, rows)
    data = [("d0", "v4"), ("d1", "v3")]
    everything = registry.list_model_versions()
    some = registry.standing_versions(data, deprecated)
    assert some == [row for row in everything if row in some]
    for model in {row.model for row in everything}:
        own, few = ([row for row in found if row.model == model] for found in (everything, some))
        assert few[-1] == own[-1]
        newest = [
            [row for row in found if row.stage == "recorded" and row[:2] not in deprecated][-1:]
            for found in (own, few)
        ]
        assert newest[0] == newest[1]
        assert all(row in few for row in own if (row.dataset, row.data_version) in data)
    aliases = registry.all_aliases()
    in_production = [row for row in everything if row[:2] in aliases]
    assert registry.production_versions() == in_production
    assert all(row in some for row in in_production)
    assert (
        registry.newest_model_versions(3)
        == sorted(everything, key=lambda row: row.created, reverse=True)[:3]
    )
    assert sum(registry.count_model_versions().values()) == len(everything)
    registry.close()
