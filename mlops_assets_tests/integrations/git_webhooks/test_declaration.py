"""The declaration of git webhooks: what is unsafe or incomplete is refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.errors import SettingsError
from mlops_assets.integrations.git_webhooks.declaration import read_git_webhooks

WHOLE = """\
git_webhooks:
  - name: fieldwork
    provider: github
    secret: {variable: SECRET}
    repositories: [team/fieldwork]
    train: [{model: crops}]
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    train: [{model: crops}]\n", "", "write what a push starts"),
        ("github", "azure", "write user with provider: azure"),
        ("github", "bitbucket", "provider"),
        ("{variable: SECRET}", "a-secret-in-the-file", "secret"),
        ("[team/fieldwork]", "[]", "repositories"),
        ("name: fieldwork", "name: ../x", "name of a git webhook"),
        ("{model: crops}", "{model: crops, data: '@'}", "train"),
        ("train:", "roles: [operator]\n    train:", "roles"),
        ("train:", "acts_for: ' '\n    train:", "principal"),
        ("[{model: crops}]", "[{model: crops}, {model: crops}]", "several models are named crops"),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "git-webhooks.yaml"
    path.write_text(WHOLE)
    assert read_git_webhooks(path).get("fieldwork") is not None
    assert old in WHOLE
    path.write_text(WHOLE.replace(old, new))
    with pytest.raises(SettingsError, match=message):
        read_git_webhooks(path)
