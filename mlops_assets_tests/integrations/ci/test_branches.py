"""Names of the workspaces of branches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.errors import SettingsError
from mlops_assets.integrations.ci.branches import NAME, branch_name, branch_workspace

PRODUCTION = "file:///srv/workspace"
POSTGRES = "postgresql+psycopg://ci:p%40ss@db.example.org/ci"


@given(st.lists(st.text(min_size=1), min_size=2, max_size=5, unique=True))
def test_any_branches_have_names_of_their_own_that_are_safe_everywhere(branches: list[str]) -> None:
    names = [branch_name(branch) for branch in branches]
    assert len(set(names)) == len(branches)
    assert all(NAME.fullmatch(name) and len(name) <= 43 for name in names)
    schemas = [
        str(branch_workspace(each, "s3://ci", PRODUCTION, POSTGRES).schema) for each in branches
    ]
    assert all(len(schema.encode()) <= 63 for schema in schemas)
    assert len(set(schemas)) == len(branches)


@pytest.mark.parametrize(
    ("branch", "readable"),
    [
        ("feature/new-bands", "feature-new-bands"),
        ("Feature/New-Bands", "feature-new-bands"),
        ("../../etc", "etc"),
        ("x; rm -rf $HOME `id`", "x-rm-rf-home-id"),
        ("größe", "groe"),
        ("新しい", "branch"),
        ("a" * 300, "a" * 30),
    ],
)
def test_what_is_readable_of_a_branch_stays(branch: str, readable: str) -> None:
    assert branch_name(branch).rpartition("-")[0] == readable


def test_a_branch_whose_name_no_document_can_have_is_refused() -> None:
    with pytest.raises(SettingsError, match="not text in UTF-8; rename"):
        branch_name("a\udcff")


def test_a_branch_gets_a_schema_that_alone_its_connections_see() -> None:
    found = branch_workspace("main", "s3://bucket/ci", PRODUCTION, POSTGRES)
    assert found.workspace == f"s3://bucket/ci/{branch_name('main')}"
    assert found.registry == (
        f"postgresql+psycopg://ci:p%40ss@db.example.org/ci?options=-csearch_path%3D{found.schema}"
    )


@pytest.mark.parametrize(
    ("root", "production", "registry", "message"),
    [
        ("file:///srv/workspace/ci", PRODUCTION, None, "one inside the other"),
        ("file:///srv", PRODUCTION, None, "one inside the other"),
        ("s3://bucket/ci", PRODUCTION, None, "needs MLOPS_CI_REGISTRY"),
        ("s3://bucket/ci", PRODUCTION, "sqlite:////tmp/x.db", "not the URL of a PostgreSQL"),
        ("s3://bucket/ci", PRODUCTION, f"{POSTGRES}?options=-cx", "not the URL of a PostgreSQL"),
        ("s3://bucket/ci", PRODUCTION, "secret?", "not the URL of a PostgreSQL"),
    ],
)
def test_places_that_would_endanger_production_are_refused(
    root: str, production: str, registry: str | None, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        branch_workspace("main", root, production, registry)
    with pytest.raises(SettingsError, match="name of the branch is empty"):
        branch_name("")
