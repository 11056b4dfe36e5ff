"""The help of every command, compared with `help.txt` as a whole.

To renew it: `UPDATE_GOLDEN=1 .venv/bin/python -m pytest mlops_assets_tests/cli/test_help.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import typer
from typer.core import TyperCommand, TyperGroup

from mlops_assets.cli import app

GOLDEN = Path(__file__).with_name("help.txt")
WIDTH = 100


def helps(
    command: TyperCommand | TyperGroup, name: str, parent: typer.Context | None = None
) -> Iterator[str]:
    """Yield the help of a command and of all its subcommands, without panels and colours."""
    command.rich_markup_mode = None
    context = typer.Context(
        command, parent, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH
    )
    yield f"$ {context.command_path} --help\n\n{command.get_help(context)}\n"
    if isinstance(command, TyperGroup):
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert isinstance(found, (TyperCommand, TyperGroup))
            if not found.hidden:
                yield from helps(found, each, context)


def test_the_help_of_every_command_is_as_in_the_golden_file() -> None:
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    rendered = "\n\n".join(helps(root, "mlops"))
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(rendered)
    assert rendered == GOLDEN.read_text(), "renew it with UPDATE_GOLDEN=1, and read the diff"


def test_runs_is_an_alias_of_run() -> None:
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    assert {"dataset", "model", "run"} <= set(root.commands)
    assert root.commands["runs"].hidden
    alias, original = root.commands["runs"], root.commands["run"]
    assert isinstance(alias, TyperGroup) and isinstance(original, TyperGroup)
    assert set(alias.commands) == set(original.commands)
