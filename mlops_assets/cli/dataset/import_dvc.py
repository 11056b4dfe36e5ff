"""`mlops import dvc`: data of a Git repository that DVC tracks, as data versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.cli.dataset import assess
from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.interruption import again, interruptible
from mlops_assets.cli.terminal.launching import open_project
from mlops_assets.cli.terminal.output import Json, Module, console, open_store, show

if TYPE_CHECKING:
    from mlops_assets.integrations.dvc.git import Revision
    from mlops_assets.orchestration.project import Project


def import_dvc(
    repository: Annotated[
        str, typer.Argument(help="Git repository: a folder, or an https:// or ssh:// URL.")
    ],
    dataset: Annotated[
        str,
        typer.Option(
            help="Declared dataset that reads the files.", autocompletion=completion.datasets
        ),
    ],
    path: Annotated[
        str | None,
        typer.Option(
            help="Folder or file in the repository that is the landing; all that DVC tracks if not"
            " given."
        ),
    ] = None,
    rev: Annotated[
        str | None,
        typer.Option(help="Branch, tag or commit; the repository's HEAD if not given."),
    ] = None,
    all_tags: Annotated[
        bool, typer.Option("--all-tags", help="Import every tagged commit, the oldest first.")
    ] = False,
    remote: Annotated[
        str | None,
        typer.Option(
            help="DVC remote by name, URL or absolute path; the repository's default if not given."
        ),
    ] = None,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Import data that DVC tracks as data versions, with the tags of Git.

    The files are read from DVC's cache or remote as the dataset declares, and each is checked by
    its md5. Commits with equal content are one version. Nothing of the repository is executed.

    A tag of Git that cannot be one here, such as 'v1', is written 'git-v1'.
    """
    import dagster as dg

    from mlops_assets.integrations.dvc.git import cloned, repository_url
    from mlops_assets.integrations.dvc.tags import labels
    from mlops_assets.models.record import tag_data_version

    if all_tags and rev is not None:
        raise typer.BadParameter("--rev and --all-tags: name one of them")
    url = repository_url(repository)
    with open_project(module) as project:
        project.dataset(dataset)
        project.require(dg.AssetKey([dataset, "landing"]))
        project.require_reachable([url])
        with cloned(url) as clone:
            revisions = clone.tagged() if all_tags else [clone.revision(rev or "HEAD")]
        tags = {revision.commit: labels(revision.tags) for revision in revisions}
        done = []
        for revision in revisions:
            given = {"repository": url, "path": path, "remote": remote}
            row = _imported(project, dataset, revision, given)
            for tag in tags[revision.commit]:
                tag_data_version(open_store(), dataset, str(row["version"]), tag)
            done.append({**row, "tags": tags[revision.commit]})
            if row["new"]:
                for line in assess.assess_version(project, dataset, str(row["version"])).lines():
                    if not as_json:
                        console.print(line)
    if not as_json:
        done = [{**row, "commit": str(row["commit"])[:12]} for row in done]
    show(done, as_json, ["commit", "version", "new", "tags", "files", "samples", "digest"], "")


def _imported(
    project: Project, dataset: str, revision: Revision, given: dict[str, str | None]
) -> dict[str, object]:
    """Commit one commit of the repository as a data version; return it as a row."""
    from mlops_assets.orchestration.jobs import landing

    config = {"dvc": {"commit": revision.commit, **{k: v for k, v in given.items() if v}}}
    kept = "the versions imported so far are kept; to continue, run the same command again:"
    with interruptible(lambda: f"{kept} {again()}"):
        result = project.launch(landing(dataset, config))
    metadata = result.metadata(dataset, "landing")
    names = {"version": "data_version", "new": "new", "files": "files", "samples": "samples"}
    values = {name: metadata[key].value for name, key in names.items()}
    return {"commit": revision.commit, **values, "digest": metadata["digest"].value}
