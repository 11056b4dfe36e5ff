"""Filters and orders over runs.

The same answer from SQLite and PostgreSQL, and a clear word on what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from mlops_assets.errors import MlopsError, NotFound, SpecificationError
from mlops_assets.registry import Registry, Run
from mlops_assets.registry.search.fields import COLUMNS, field
from mlops_assets.registry.search.run_search import names_in, search_runs

FIRST = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run(name: str, hours: float = 0, **changes: Any) -> Run:
    row: dict[str, Any] = {
        "run_id": name,
        "model": "crops",
        "dataset": "fields",
        "data_version": "v1",
        "data_digest": "0" * 64,
        "status": "succeeded",
        "parameters": {},
        "seed": 0,
        "trainer": "m:train",
        "code_version": "c",
        "hardware": {},
        "metrics": {},
        "started": FIRST + timedelta(hours=hours),
        "host": "h",
        "pid": 1,
    }
    return Run(**row | changes)


RUNS: dict[str, dict[str, Any]] = {
    "a": {
        "metrics": {"macro_f1": 0.9, "recall.wheat": 0.7, "recall.Grünland": 0.5, "bias": -2},
        "parameters": {
            "learning_rate": 0.001,
            "optimizer": "adam",
            "augment": True,
            "batch": 32,
            "odd": "ten",
            "schedule": {"name": "cosine", "warm up": {"steps": 5}},
            "größe": 3,
            "flat.dotted": 1,
        },
        "tags": {"team": "North_1", "fold": "3"},
        "seconds": 10.5,
        "seed": 1,
        "usage": {"peak_memory_bytes": 2_000_000_000},
        "hardware": {"host": "node", "cpus": 16},
    },
    "b": {
        "metrics": {"macro_f1": 0.8},
        "parameters": {
            "learning_rate": "0.01",
            "optimizer": "sgd",
            "augment": False,
            "batch": 32.0,
            "odd": 10,
            "schedule": None,
        },
        "tags": {"team": "north%1", "fold": "12"},
        "seconds": 99,
        "seed": 2,
        "phases": {"fit": 3.5},
    },
    "c": {
        "metrics": {"macro_f1": 1},
        "parameters": {"learning_rate": 1e-5, "optimizer": "ADAM", "odd": [1, 2]},
        "status": "failed",
        "error": "it's out of luck",
        "model": "weeds",
        "seed": 3,
        "seconds": 0.25,
    },
    "d": {
        "parameters": {
            "learning_rate": "auto",
            "optimizer": 7,
            "odd": "1e999",
            "missing": float("nan"),
        },
        "status": "running",
        "model": "weeds",
        "seed": 4,
    },
}


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)]
)
def registry(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    url = f"sqlite:///{tmp_path_factory.mktemp('registry') / 'registry.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("new_database")()
    opened = Registry(url)
    for hour, (name, changes) in enumerate(RUNS.items()):
        opened.start_run(run(name, hour, **changes))
    yield opened
    opened.close()


def found(registry: Registry, where: str | None = None, sort: str = "started") -> str:
    """The runs that are found, in their order, or how it fails.

    Every row of a table must be reported.
    """
    try:
        return "".join(row.run_id for row in search_runs(registry, where=where, sort=sort))
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"


def not_refused(registry: Registry, table: list[tuple[str, str]], kind: str) -> list[str]:
    """Return the filters of a table that do not fail with this kind of error and their message."""
    answers = [(where, message, found(registry, where)) for where, message in table]
    return [
        f"{where}: {answer!r}, not {kind} with {message!r}"
        for where, message, answer in answers
        if not answer.startswith(f"{kind}: ") or message not in answer
    ]


FILTERS = [
    ("macro_f1 > 0.8", "ac"),
    ("macro_f1 >= 0.8 and params.learning_rate < 0.01", "ac"),
    ("metrics.macro_f1 = 1", "c"),
    ("bias = -2", "a"),
    ("0.85 < macro_f1", "ac"),
    ("0.8 >= macro_f1", "b"),
    ('"recall.wheat" < 0.8', "a"),
    ("recall.wheat <> 0.8", "a"),
    ('"recall.Grünland" = 0.5', "a"),
    ('"params.größe" = 3', "a"),
    ("macro_f1 between 0.85 and 0.95", "a"),
    ("macro_f1 not between 0.85 and 0.95", "bc"),
    ("macro_f1 in (0.8, 1)", "bc"),
    ("macro_f1 not in (0.8, 1)", "a"),
    ("macro_f1 is null", "d"),
    ("macro_f1 is not null", "abc"),
    ("not macro_f1 > 0.85", "b"),
    ("macro_f1 = 1 or macro_f1 = 0.8 and seed = 9", "c"),
    ("(macro_f1 = 1 or macro_f1 = 0.8) and seed <> 3", "b"),
    ("macro_f1 > recall.wheat", "a"),
    ("params.learning_rate <= 0.01", "abc"),  # '0.01' too: what is imported is text
    ("params.learning_rate = 'auto'", "d"),
    ("params.learning_rate > 1000", ""),
    ("params.odd = 10", "b"),
    ("params.odd = 'ten'", "a"),
    ("params.odd is not null", "abcd"),
    ("params.batch = 32", "ab"),
    ("params.optimizer = 'adam'", "a"),
    ("params.optimizer <> 'adam'", "bc"),
    ("params.optimizer in ('adam', 'sgd')", "ab"),
    ("params.optimizer like 'a%'", "a"),
    ("params.optimizer like '_d_m'", "a"),
    ("casei(params.optimizer) like casei('A%')", "ac"),
    ("casei(params.optimizer) = casei('Adam')", "ac"),
    ("params.optimizer between 'ab' and 'sz'", "ab"),
    ("params.augment = true", "a"),
    ("params.augment", "a"),
    ("not params.augment", "b"),
    ("params.augment <> true", "b"),
    ("false = params.augment", "b"),
    ("params.schedule.name = 'cosine'", "a"),
    ('"params.schedule.warm up.steps" > 4', "a"),
    ("params.schedule is null", "bcd"),
    ("params.flat.dotted = 1", "a"),
    ("tags.team like '%\\%1'", "b"),
    ("tags.team like 'North\\_1'", "a"),
    ("tags.team like '%_1'", "ab"),
    ("tags.fold > 3", "b"),
    ("tags.fold = '3'", "a"),
    ("hardware.host = 'node' and hardware.cpus > 8", "a"),
    ("usage.peak_memory_bytes >= 2e9", "a"),
    ("phases.fit > 3", "b"),
    ("status = 'failed'", "c"),
    ("status in ('failed', 'running') and model = 'weeds'", "cd"),
    ("error = 'it''s out of luck'", "c"),
    ("error is not null", "c"),
    ("seconds < 50 and seed > 1", "c"),
    ("started > TIMESTAMP('2026-03-01T13:30:00Z')", "cd"),
    ("started > TIMESTAMP('2026-03-01T14:30:00+01:00')", "cd"),
    ("started <= '2026-03-01 13:00'", "ab"),
    ("started > DATE('2026-03-02')", ""),
    ("started between '2026-03-01T12:30:00Z' and '2026-03-01T14:30:00Z'", "bc"),
    ("finished is null", "abcd"),
    ("true", "abcd"),
    ("false", ""),
]


def test_a_filter_finds_the_runs_that_it_describes(registry: Registry) -> None:
    wrong = []
    for where, expected in FILTERS:
        answer = found(registry, where)
        if answer != expected:
            wrong.append(f"{where}: {answer!r}, not {expected!r}")
    assert not wrong, "\n".join(wrong)


ORDERS = [
    ("-started", "dcba"),
    ("started", "abcd"),
    ("macro_f1", "bacd"),
    ("-macro_f1", "cabd"),
    ("params.learning_rate", "cabd"),  # what is not a number comes after the numbers
    ("-seconds", "bacd"),
    ("model", "badc"),  # equal ones newest first
    ("params.augment", "badc"),
    ("-tags.fold", "badc"),
]


def test_an_order_puts_what_a_run_does_not_have_last(registry: Registry) -> None:
    wrong = []
    for sort, expected in ORDERS:
        answer = found(registry, sort=sort)
        if answer != expected:
            wrong.append(f"{sort}: {answer!r}, not {expected!r}")
    assert not wrong, "\n".join(wrong)
    # capital letters sort as the database sorts them; the number comes first
    assert found(registry, sort="-params.optimizer") in {
        "dabc",
        "dacb",
        "dbac",
        "dbca",
        "dcab",
        "dcba",
    }


def test_only_so_many_and_only_of_one_model(registry: Registry) -> None:
    assert [row.run_id for row in search_runs(registry, limit=2)] == ["d", "c"]
    assert [row.run_id for row in search_runs(registry, "crops")] == ["b", "a"]
    assert [row.run_id for row in search_runs(registry, "weeds", "macro_f1 > 0", limit=None)] == [
        "c"
    ]
    assert search_runs(registry, "nothing", "macro_f1 > 0") == []
    assert search_runs(registry, limit=1)[0].parameters["missing"] == "NaN"


UNKNOWN = [
    (
        "makro_f1 > 0.8",
        "no run has a metric 'makro_f1'; did you mean macro_f1?; there is bias, macro_f1, recall.",
    ),
    ("learning_rate < 1", "no run has a metric 'learning_rate'; did you mean params.learning_rate"),
    ("params.macro_f1 < 1", "no run has a parameter 'macro_f1'; did you mean macro_f1"),
    ("stat = 'failed'", "did you mean status"),
    (
        "macro_f1 > 0.8 or params.schedul.name = 'x'",
        "no run has a parameter 'schedul.name'; did you mean params.s",
    ),
    ("tags.teem is null", "no run has a tag 'teem'; did you mean tags.team"),
    ("code.commit = 'x'", "see 'mlops run show ID'"),
    (
        "params.schedule.name > 3",
        "params.schedule.name is never a number; runs have e.g. 'cosine' there",
    ),
    ("macro_f1 = '0.9'", "macro_f1 is never a text; runs have e.g. 1 there"),
    ("params.optimizer = true", "params.optimizer is never true or false; runs have e.g. 7 there"),
    ("macro_f1", "macro_f1 is never true or false"),
    ('"params.a\'b" > 3', "no run has a parameter"),
]


def test_a_name_that_no_run_has_is_reported_with_similar_ones(registry: Registry) -> None:
    wrong = not_refused(registry, UNKNOWN, "NotFound")
    assert not wrong, "\n".join(wrong)


def test_an_order_by_a_name_that_no_run_has_is_refused_too(registry: Registry) -> None:
    with pytest.raises(NotFound, match="no run has a metric 'macro'"):
        search_runs(registry, sort="-macro")
    with pytest.raises(NotFound, match="no run has a metric 'bias'"):  # another model's have
        search_runs(registry, "weeds", sort="bias")


REFUSED = [
    ("macro_f1 >", "cannot be read at character 11: it ends there; compare names with"),
    ("", "cannot be read at character 1: it ends there"),
    ("macro_f1 > 0.8 bogus", "at character 16: found 'bogus'"),
    ("macro_f1 == 0.8", "found '= 0.8'"),
    ("macro_f1 > 0.8 && seed = 1", "found '&& seed = 1'"),
    ("seed = 1\nand >> 2", "at line 2, character 5: found '>> 2'"),
    ("macro_f1 = null", "write IS NULL"),
    ("status > 3", "status is a text; write it like 'text'"),
    ("status", "status is a text"),
    ("seed = 'one'", "seed is a number; write it like 0.5"),
    ("seed = true", "seed is a number"),
    ("started > 3", "started is a time; write it like TIMESTAMP("),
    ("started > 'tomorrow'", "'tomorrow' is not a time"),
    ("started = seed", "cannot be"),
    ("macro_f1 in (1, 'x')", "a number and a text cannot be compared"),
    ("macro_f1 + 1 > 2", "operator '+' is not supported"),
    ("params.n-estimators > 3", "in double ones"),
    ("params.optimizer like 3", "LIKE takes a text"),
    ("1", "1.0 is not a comparison"),
    ("abs(macro_f1) > 1", "operator 'abs'"),
    ("s_intersects(model, POINT(0 0))", "s_intersects is not supported here"),
    ("params. > 3", ""),
    ("params.a..b > 3", "no empty part"),
    ('"params.a\\b" > 3', "quotes or backslashes"),
    ("seed < macro_f1 * 0 or seed = 1", "operator '*'"),
]


def test_a_filter_that_cannot_be_used_is_refused_with_the_place(registry: Registry) -> None:
    wrong = not_refused(registry, REFUSED, "SpecificationError")
    assert not wrong, "\n".join(wrong)


HOSTILE = [
    "'; DROP TABLE runs; --",
    '") OR 1=1 --',
    "$.x",
    "a\\b",
    "%s %(x)s :x ?",
    "{1,2}",
    "naïve \N{SNOWMAN}",
]


@pytest.mark.parametrize(
    "where",
    [
        "(" * 3000 + "seed = 1" + ")" * 3000,
        "(" * 40,
        "NOT (" * 40 + "seed = 1" + ")" * 40,
        "seed = 1 AND x = '" + ")" * 40 + "' AND " + "(" * 40,
        "x = '\\'' AND " + "(" * 40 + " AND y = 'z'",
        "x = '\\' AND " + "(" * 40 + " AND y = 'z'",
        "seed IN (" + "1," * 8000 + "1)",
        "NOT " * 8000 + "seed = 1",
        "NOT " * 990 + "seed = 1",
        "-" * 3990 + "1 = seed",
        "seed = " + "- +" * 1300 + "1",
    ],
    ids=lambda where: where[:12],
)
def test_a_filter_that_would_keep_or_crash_its_parser_does_not_come_to_it(
    where: str, registry: Registry
) -> None:
    with pytest.raises(
        SpecificationError, match=r"it is nested too deeply|more than 4,000 characters, paren"
    ):
        search_runs(registry, where=where)


def test_values_are_only_ever_values(registry: Registry) -> None:
    wrong = []
    for value in HOSTILE:
        quoted = value.replace("'", "''")
        for where in (
            f"status = '{quoted}'",
            f"params.optimizer = '{quoted}'",
            f"tags.team like '{quoted}'",
        ):
            answer = found(registry, where)
            if answer:
                wrong.append(f"{where}: {answer!r}")
    assert not wrong, "\n".join(wrong)
    assert len(search_runs(registry)) == len(RUNS)


@given(key=st.text(min_size=1, max_size=12), value=st.text(max_size=8))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_name_is_resolved_or_refused_and_never_breaks_the_query(
    registry: Registry, key: str, value: str
) -> None:
    # Hypothesis tries names that it finds in the source code, too
    assume(not any(key in row["parameters"] for row in RUNS.values()))
    name, literal = f"params.{key}".replace('"', '""'), value.replace("'", "''").replace("\0", "")
    with pytest.raises(MlopsError) as caught:
        search_runs(registry, where=f"\"{name}\" = '{literal}'")
    assert "could not be used" not in str(caught.value)


def test_keys_that_an_older_release_has_escaped_are_found(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path / 'registry.db'}")
    registry.start_run(run("old"))
    with registry.transaction("change") as session:
        session.execute(
            text("UPDATE runs SET metrics = :metrics, parameters = :parameters"),
            {
                "metrics": json.dumps({"recall.Grünland": 0.5}),
                "parameters": json.dumps({"größe": {"höhe": "ß"}}),
            },
        )
    assert found(registry, '"recall.Grünland" > 0.4') == "old"
    assert found(registry, "\"params.größe.höhe\" = 'ß'") == "old"
    registry.close()


def test_the_names_of_a_filter_and_their_values_can_be_listed() -> None:
    assert names_in("macro_f1 > 0.8 and (params.a.b < 1 or macro_f1 < 0.1) and status = 'x'") == [
        "macro_f1",
        "params.a.b",
        "status",
    ]
    row = run(
        "a",
        parameters={"a": {"b": 1}, "c.d": 2, "e": 3},
        metrics={"recall.wheat": 0.5},
        tags={"x.y": "z"},
    )
    assert {
        name: field(name).value(row)
        for name in ("params.a.b", "params.c.d", "params.e.f", "parameters.e")
    } == {
        "params.a.b": 1,
        "params.c.d": 2,
        "params.e.f": None,
        "parameters.e": 3,
    }
    assert (field("recall.wheat").value(row), field("metrics.recall.wheat").value(row)) == (
        0.5,
        0.5,
    )
    assert (field("tags.x.y").value(row), field("status").value(row)) == ("z", "succeeded")
    assert "metrics" not in COLUMNS


def test_an_empty_registry_has_no_runs_whatever_is_asked(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path / 'registry.db'}")
    assert search_runs(registry, where="macro_f1 > 0.8", sort="-macro_f1") == []
    registry.close()
