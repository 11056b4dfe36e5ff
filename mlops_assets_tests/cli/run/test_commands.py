"""`mlops run` and `mlops model reproduce`, as a person uses them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.paths import Owner
from mlops_assets.registry import Checkpoint, Run
from mlops_assets.store import Store
from mlops_assets_tests.cli.conftest import Mlops

IMAGE = f"registry.example/code@sha256:{'4' * 64}"
FIRST = datetime(2026, 3, 1, 12, tzinfo=UTC)


def add(store: Store, number: int, **changes: Any) -> str:
    row: dict[str, Any] = {
        "run_id": f"{number:08d}-run",
        "model": "crops",
        "dataset": "fields",
        "data_version": "v1",
        "data_digest": "d" * 64,
        "status": "succeeded",
        "parameters": {"learning_rate": 10.0**-number, "net": {"depth": 2}},
        "seed": number,
        "trainer": "m:train",
        "code_version": "c0ffee",
        "code": {"container": IMAGE},
        "hardware": {"cpus": 2},
        "host": "h",
        "pid": 1,
        "metrics": {"macro_f1": number / 10, "loss": 1 / number},
        "started": FIRST + timedelta(hours=number),
        "seconds": 90.0,
    }
    store.registry.start_run(Run(**row | changes))
    return str(row["run_id"])


@pytest.fixture
def runs(store: Store) -> list[str]:
    """Nine runs, the last of which failed."""
    ids = [add(store, number) for number in range(1, 9)]
    failed = add(
        store,
        9,
        status="failed",
        error="Traceback\n  x\nValueError: boom [/red]",
        metrics={},
        model="weeds",
        tags={"season": "2026"},
        parameters={"optimizer": "adam"},
        usage={"peak_memory_bytes": 3 * 2**29, "energy_joules": 7200.0},
        phases={"fit": 3.5},
        created_by="ann",
        attempts=2,
    )
    store.registry.log(failed, [(step, "loss", step, 8.0 - step, 0.0) for step in range(8)])
    store.registry.add_checkpoint(
        Checkpoint(run_id=failed, step=7, seq=8, path="p", sha256="s", size=2048, created=FIRST)
    )
    store.registry.add_files(
        Owner(f"run:{failed}"),
        [store.workspace.put(f"runs/{failed}/log.txt", b"epoch 1\n[bold]2\n")],
    )
    return [*ids, failed]


def listed(outcome: Any) -> list[str]:
    assert outcome.code == 0, outcome.err
    return [run["run_id"][7] for run in outcome.json]


def test_runs_are_listed_newest_first_filtered_sorted_and_cut(
    runs: list[str], mlops: Mlops
) -> None:
    assert listed(mlops("run", "list", "--json")) == list("987654321")
    assert listed(mlops("run", "list", "crops", "--limit", "2", "--json")) == ["8", "7"]
    where = "macro_f1 > 0.3 and params.learning_rate < 1e-5"
    assert listed(mlops("run", "list", "--where", where, "--json")) == ["8", "7", "6"]
    for order in (["--sort", "macro_f1"], ["--sort=started"], ["--sort", "-params.learning_rate"]):
        assert listed(mlops("run", "list", "crops", *order, "--json")) == list("12345678")
    for order in (
        ["--sort", "-macro_f1"],
        ["--sort", "macro_f1", "--descending"],
        ["--sort=-macro_f1", "--descending"],
    ):
        assert listed(mlops("run", "list", *order, "--json")) == list("876543219")
    assert len(listed(mlops("run", "list", "--limit", "0", "--json"))) == 9


def test_a_listing_has_the_columns_of_its_filter_and_states_that_there_is_more(
    runs: list[str], mlops: Mlops
) -> None:
    outcome = mlops(
        "run", "list", "--where", "params.net.depth = 2", "--sort", "-loss", "--limit", "2"
    )
    header, *rows = outcome.out.splitlines()
    assert header.split() == [
        "run_id",
        "model",
        "data_version",
        "status",
        "model_version",
        "macro_f1",
        "params.net.depth",
        "loss",
        "started",
        "seconds",
    ]
    assert [row.split()[0] for row in rows] == ["00000001", "00000002"]
    assert "these are the first 2; use --limit 0 for all" in outcome.err
    chosen = mlops(
        "run",
        "list",
        "weeds",
        "--columns",
        "run_id, tags.season,usage.peak_memory_bytes,error,params.no",
    )
    assert chosen.out.splitlines()[1].split() == [
        "00000009",
        "2026",
        "1.5",
        "GiB",
        "ValueError:",
        "boom",
        "[/red]",
    ]
    as_json = mlops(
        "run", "list", "weeds", "--columns", "run_id,params.optimizer,started", "--json"
    ).json
    assert as_json == [
        {"run_id": runs[-1], "params.optimizer": "adam", "started": "2026-03-01T21:00:00+00:00"}
    ]
    assert mlops("run", "list", "--where", "macro_f1 > 5").out == "no run matches\n"


def test_show_prints_the_whole_record_of_a_run(runs: list[str], mlops: Mlops) -> None:
    outcome = mlops("run", "show", "00000009")
    said = " ".join(outcome.out.split())
    for part in (
        "weeds",
        "failed",
        "ValueError: boom [/red]",
        "fields@v1, digest dddddddddddd",
        "c0ffee",
        f"container {IMAGE}",
        "not recorded",
        "cpus: 2",
        "by ann, platform",
        "1 min 30 s",
        "attempts 2",
        "fit: 3.5 s",
        "peak memory: 1.5 GiB",
        "energy: 2 Wh",
        "season: 2026",
        "seed 9",
        "optimizer: adam",
        "loss: █▇▆▅▄▃▂▁ 8 → 1, 8 point(s)",
        "step 7 (2 KiB)",
        "--log",
    ):
        assert part in said, part
    document = mlops("run", "show", "00000009", "--json").json
    assert document["series"]["loss"] == {
        "points": 8,
        "first": 8.0,
        "last": 1.0,
        "min": 1.0,
        "max": 8.0,
        "last_step": 7,
    }
    assert (document["checkpoints"][0]["step"], document["usage"]["energy_joules"]) == (7, 7200.0)
    assert document["started"] == "2026-03-01T21:00:00+00:00"
    assert {
        "environment",
        "hardware",
        "code",
        "phases",
        "tags",
        "attempts",
        "data_digest",
        "seed",
    } <= document.keys()


def test_the_log_of_a_run_is_printed_as_it_is(runs: list[str], mlops: Mlops) -> None:
    assert mlops("run", "show", "00000009", "--log").out == "epoch 1\n[bold]2\n"
    assert mlops("run", "show", "00000009", "--log", "--json").json["log"] == "epoch 1\n[bold]2\n"
    without = mlops("run", "show", "00000001", "--log")
    assert (without.code, "run 00000001 has no log" in without.err) == (1, True)


def test_runs_are_noted_and_tagged(runs: list[str], mlops: Mlops) -> None:
    assert mlops("run", "note", "00000001", "too many epochs").code == 0
    assert (
        "paper=yes, season=2026" in mlops("run", "tag", "00000001", "season=2026", "paper=yes").out
    )
    assert "season" not in mlops("run", "tag", "00000001", "season=").out
    shown = mlops("run", "show", "00000001").out
    assert "tester: too many epochs" in shown and "paper: yes" in shown
    document = mlops("run", "show", "00000001", "--json").json
    assert document["tags"]["paper"] == "yes" and document["notes"][0]["noted_by"] == "tester"
    found = mlops("run", "list", "--where", "tags.paper = 'yes'", "--json").json
    assert [run["run_id"] for run in found] == [document["run_id"]]


def test_runs_are_compared_on_the_terminal_and_in_reports(
    runs: list[str], mlops: Mlops, tmp_path: Path
) -> None:
    outcome = mlops("run", "compare", "00000001", "00000002", "00000009")
    said = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert "macro_f1 0.1 0.2 * ▲ +0.1 –" in said
    assert "loss 1 0.5 * ▼ -0.5 –" in said
    assert "optimizer – – adam" in said
    assert "peak_memory_bytes – – 1.5 GiB" in said
    unnamed = mlops("run", "compare", "00000001", "00000002", "--on", "")
    assert (unnamed.code, "name '' cannot be used" in unnamed.err) == (1, True)
    document = mlops("run", "compare", "00000001", "00000002", "--json").json
    assert {difference["what"] for difference in document["differences"]} == {
        "learning_rate",
        "seed",
    }
    assert document["metrics"][0]["deltas"][runs[1]] == pytest.approx(0.1)
    for name, starts in (
        ("out.html", b"<!doctype html>"),
        ("out.md", b"## "),
        ("out.png", b"\x89PNG"),
    ):
        written = mlops("run", "compare", "00000001", "00000009", "--report", name)
        assert written.code == 0, written.err
        assert f"wrote {name}" in written.err
        assert (tmp_path / name).read_bytes().startswith(starts)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ["list", "--where", "makro_f1 > 1"],
            1,
            "no run has a metric 'makro_f1'; did you mean macro_f1",
        ),
        (["list", "--sort", "-makro_f1"], 1, "no run has a metric 'makro_f1'"),
        (["list", "--where", "macro_f1 >"], 1, "cannot be read at character 11"),
        (["list", "--where", "status > 1"], 1, "status is a text"),
        (["list", "--limit", "-1"], 2, "greater than or equal to 0"),
        (["list", "--columns", "params."], 1, "is not a valid name of a property"),
        (["compare", "00000001"], 2, "at least two"),
        (["compare", "00000001", "00000001-run"], 2, "the same run"),
        (["compare", "0000000", "00000001"], 1, "more than one run begins with"),
        (["compare", "00000001", "00000002", "--report", "out.pdf"], 1, "one of .html, .md, .png"),
        (["compare", "00000001", "00000002", "--report", "nowhere/out.md"], 1, "cannot be written"),
        (["tag", "00000001", "paper"], 2, "NAME=VALUE"),
        (["tag", "00000001", "paper="], 1, "has no tag 'paper'"),
        (["note", "00000001", " "], 1, "a note is empty"),
        (["show", "zzz"], 1, "no run begins with 'zzz'"),
    ],
)
def test_bad_input_is_one_message(
    runs: list[str], mlops: Mlops, arguments: list[str], code: int, said: str
) -> None:
    outcome = mlops("run", *arguments)
    assert outcome.code == code, outcome.err
    assert said in " ".join(outcome.err.replace("│", " ").split())
    assert "Traceback" not in outcome.err


def test_without_runs_a_listing_names_the_command_that_makes_one(
    store: Store, mlops: Mlops
) -> None:
    assert "no run yet; run 'mlops train MODEL'" in mlops("run", "list").out
    assert mlops("run", "list", "--where", "macro_f1 > 1", "--json").json == []


@pytest.mark.slow
def test_a_model_version_is_trained_again_from_its_record(committed: Path, mlops: Mlops) -> None:
    first = mlops("train", "samples_forest", "-p", "n_estimators=5", "-p", "seed=7", "--json").json
    # other people's work may change the checkout meanwhile: that alone is no reason to fail
    again = mlops("model", "reproduce", f"samples_forest@{first['version']}", "--allow-changes")
    assert again.code == 0, again.out + again.err
    assert f"samples_forest@{first['version']} is reproduced by samples_forest@v1-" in again.out
    assert re.search(r"model\.skops +(\w{12}) +\1 +same", again.out)
    (made,) = mlops(
        "run", "list", "--where", f"tags.reproduces = '{first['version']}'", "--json"
    ).json
    assert (made["parameters"]["n_estimators"], made["seed"]) == (5, 7)
    assert mlops("model", "reproduce", "nothing@production").code == 1

    own = committed / "fieldwork" / "own.py"
    own.write_text(
        "from pydantic import BaseModel\nfrom sklearn.tree import DecisionTreeClassifier\n\n\n"
        "class Params(BaseModel, extra='allow'):\n    pass\n\n\n"
        "def train(data, params: Params, run):\n    X, y = data.arrays('train')\n"
        "    return DecisionTreeClassifier(max_depth=2, random_state=run.seed).fit(X, y)\n"
    )
    declared = committed / "fieldwork" / "defs" / "samples" / "defs.yaml"
    text = declared.read_text().replace(
        "mlops_assets.training.trainers.sklearn:train", "fieldwork.own:train"
    )
    declared.write_text("".join(line + "\n" for line in text.splitlines() if "params:" not in line))
    changed = mlops("model", "reproduce", f"samples_forest@{first['version']}")
    assert changed.code == 1
    assert (
        "trainer: mlops_assets.training.trainers.sklearn:train → fieldwork.own:train" in changed.err
    )
    other = mlops(
        "model", "reproduce", f"samples_forest@{first['version']}", "--allow-changes", "--json"
    )
    assert other.code == 1
    assert (other.json["matches"], other.json["changes"][-1]["what"]) == (False, "trainer")
    assert not other.json["artefacts"][0]["equal"]


@pytest.mark.parametrize(
    "command", [["list", "--columns", "params.net,created_by"], ["show"], ["compare"]]
)
def test_recorded_texts_send_no_control_characters_to_a_terminal(
    store: Store, mlops: Mlops, command: list[str]
) -> None:
    clear = "\x1b[2J\x9b1m\x1b]52;c;eA==\x07\r\u202e"
    first, second = (
        add(
            store,
            number,
            status="failed",
            error=f"no {clear}",
            created_by=f"ann{clear}",
            tags={f"t{clear}": clear},
            parameters={f"p{clear}": f"{number}{clear}", "net": f"{clear}"},
            trainer=f"m{clear}",
            host=clear,
        )
        for number in (1, 2)
    )
    store.registry.note_run(first, f"note {clear}")
    ids = {"show": [first], "compare": [first, second]}.get(command[0], [])
    found = mlops("run", *command, *ids)
    said = found.out + found.err
    assert not set("\x1b\x9b\x07\r\u202e") & set(said), ascii(said)
    assert r"\x1b[2J" in said
