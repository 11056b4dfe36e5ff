"""Names of the workspaces of branches.

A branch is named by whoever may push: its name is data, of any characters and length.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, field

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from mlops_assets.errors import SettingsError
from mlops_assets.text.secret_urls import redacted

# a schema of PostgreSQL has 63 bytes, and a part of a path may have 255
MAX_READABLE = 30
DIGEST = 12
NAME = re.compile(rf"[a-z0-9]+(?:-[a-z0-9]+)*-[0-9a-f]{{{DIGEST}}}")
_OTHER = re.compile(r"[^a-z0-9]+")
_SCHEMA = "ci_"


@dataclass(frozen=True)
class BranchWorkspace:
    """Where a branch trains.

    Attributes:
        branch: name of the branch.
        workspace: URL of its workspace.
        registry: SQLAlchemy URL of its registry; None for a file in the workspace.
        schema: of that database, which has the registry; None if there is none.
    """

    branch: str
    workspace: str
    registry: str | None = field(default=None, repr=False)
    schema: str | None = None

    @property
    def name(self) -> str:
        """The last part of its URL."""
        return self.workspace.rpartition("/")[2]


def branch_name(branch: str) -> str:
    """Return the name of the workspace of a branch.

    It is what is readable of the branch, and the beginning of its sha256: branches that read alike,
    or differ in case only, have names of their own.

    Args:
        branch: as git has it.

    Returns:
        Small letters, digits and single hyphens, at most 43 of them.

    Raises:
        SettingsError: it is empty, or not text in UTF-8, as documents are.
    """
    if not branch:
        raise SettingsError("the name of the branch is empty; set MLOPS_CI_BRANCH")
    try:
        digest = hashlib.sha256(branch.encode()).hexdigest()[:DIGEST]
    except UnicodeEncodeError:
        raise SettingsError(
            f"the name of the branch, {branch!r}, is not text in UTF-8; rename the branch"
        ) from None
    plain = unicodedata.normalize("NFKD", branch).encode("ascii", "ignore").decode().lower()
    readable = _OTHER.sub("-", plain)[:MAX_READABLE].strip("-")
    return f"{readable or 'branch'}-{digest}"


def branch_workspace(
    branch: str, root: str, production: str, registry: str | None = None
) -> BranchWorkspace:
    """Return the workspace of a branch.

    Args:
        branch: as git has it.
        root: URL that the workspaces of branches are below.
        production: URL of the workspace of production.
        registry: SQLAlchemy URL of a PostgreSQL database that gets a schema for each branch; None
            for a file in each workspace, which must be a folder then.

    Raises:
        SettingsError: the root is in the workspace of production, or holds it; a bucket has no
            registry; or the registry is not a PostgreSQL database.
    """
    below, other = f"{root}/", f"{production.rstrip('/')}/"
    if below.startswith(other) or other.startswith(below):
        raise SettingsError(
            f"MLOPS_CI_ROOT={redacted(root)} and MLOPS_WORKSPACE={redacted(production)}, the"
            " workspace of production, are one inside the other; name a place beside it"
        )
    name = branch_name(branch)
    workspace = f"{root}/{name}"
    if registry is None:
        if not root.startswith("file:"):
            raise SettingsError(
                f"MLOPS_CI_ROOT={redacted(root)} needs MLOPS_CI_REGISTRY, the URL of a PostgreSQL"
                " database in which each branch gets a schema"
            )
        return BranchWorkspace(branch, workspace)
    schema = _SCHEMA + name.replace("-", "_")
    return BranchWorkspace(branch, workspace, in_schema(registry, schema), schema)


def in_schema(registry: str, schema: str) -> str:
    """Return the URL of a PostgreSQL database whose connections see one schema only.

    Raises:
        SettingsError: it is not such a URL, or has options already.
    """
    try:
        url = make_url(registry)
        backend = url.get_backend_name()
    except ArgumentError:
        backend = ""
    if backend != "postgresql" or "options" in url.query:
        raise SettingsError(
            "MLOPS_CI_REGISTRY is not the URL of a PostgreSQL database without options, such as"
            " postgresql+psycopg://HOST/ci"
        )
    found = url.update_query_dict({"options": f"-csearch_path={schema}"})
    return found.render_as_string(hide_password=False)
