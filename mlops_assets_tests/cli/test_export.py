"""`mlops model export`: its result, and what is refused before anything is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.store import Store
from mlops_assets_tests.cli.conftest import Mlops
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification


def test_a_version_is_exported_once_into_a_folder(
    store: Store, land_table: Callable[..., Commit], mlops: Mlops, tmp_path: Path
) -> None:
    land_table()
    row = lifecycle(store, model_specification(), recorded=True)
    command = ("model", "export", f"crops@{row.version}", "--to", "triton", "--out", "given")
    done = mlops(*command, "--json").json
    assert Path(done["folder"]) == tmp_path / "given"
    assert "crops/config.pbtxt" in done["files"] and row.version == done["version"]
    again = mlops(*command)
    assert (again.code, "given is not an empty folder" in again.err) == (1, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--to", "kserve"), "needs --url"),
        (("--to", "dir", "--secret", "minio"), "--secret: for --to kserve only"),
    ],
)
def test_options_that_do_not_fit_the_format_are_wrong_usage(
    options: tuple[str, ...], message: str, mlops: Mlops, store: Store, tmp_path: Path
) -> None:
    refused = mlops("model", "export", "crops", "--out", str(tmp_path / "out"), *options)
    assert (refused.code, message in refused.err) == (2, True), refused.err
