"""The output of runs: kept logs, what Dagster has captured, and what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_assets.errors import OrchestratorUnavailable
from mlops_assets.hub.views.runs.output import MAX_BYTES, run_output
from mlops_assets.paths import run_log_key, run_owner
from mlops_assets.store import Store
from mlops_assets.training.process.supervisor import keep_log
from mlops_assets_tests.registry.rows import new_run


def unread(*_arguments: Any) -> tuple[bytes, int]:
    raise AssertionError("there is a kept log")


def test_the_end_of_a_kept_log_is_text(store: Store) -> None:
    store.registry.start_run(new_run("a"))
    store.registry.finish_run("a", "failed")
    assert run_output(store, "a", 0, unread).notice == "The run has printed nothing that was kept."
    printed = b"x" * MAX_BYTES + "\x1b[31m<b>größe</b>\rnext\n".encode() + b"\xff"
    keep_log(store, "run a", run_log_key("a"), run_owner("a"), printed)
    found = run_output(store, "a", 17, unread)
    assert found.complete and found.first == len(printed) - MAX_BYTES
    assert found.text.endswith("\\x1b[31m<b>größe</b>\nnext\n\ufffd") and "\x1b" not in found.text


def test_a_running_run_is_followed_line_by_line(store: Store) -> None:
    printed = "erste Zeile: größer\nzwei".encode()

    def captured(run: str, step: str, first: int, _limit: int) -> tuple[bytes, int]:
        assert (run, step) == ("dagster-run", "crops__trained_model")
        return printed[first:], len(printed)

    store.registry.start_run(new_run("a", orchestration_run="dagster-run"))
    first = run_output(store, "a", 0, captured)
    assert (first.text, first.complete) == ("erste Zeile: größer\n", False)
    assert run_output(store, "a", first.next, captured).text == ""
    printed += b"te\n"
    assert run_output(store, "a", first.next, captured).text == "zweite\n"


@pytest.mark.parametrize(
    ("columns", "notice"),
    [
        ({"source": "external", "orchestration_run": None}, "is external"),
        ({"orchestration_run": "dagster-run"}, "Dagster's storage is locked"),
    ],
)
def test_what_cannot_be_shown_has_a_reason(
    columns: dict[str, Any], notice: str, store: Store
) -> None:
    def captured(*_arguments: Any) -> tuple[bytes, int]:
        raise OrchestratorUnavailable("Dagster's storage is locked")

    store.registry.start_run(new_run("a", **columns))
    found = run_output(store, "a", 5, captured)
    assert notice in found.notice and (found.next, found.complete) == (5, False)
