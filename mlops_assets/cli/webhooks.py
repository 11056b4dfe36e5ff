"""`mlops webhooks`: messages about model versions to the receivers that a project declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.cli.terminal.output import Json, console, open_store, show
from mlops_assets.errors import SettingsError
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from mlops_assets.registry import WebhookMessage

app = typer.Typer(help="Messages about model versions to other systems.", no_args_is_help=True)
COLUMNS = ("id", "webhook", "event", "created", "state", "attempts", "due", "error")


@app.command()
def deliver(as_json: Json = False) -> None:
    """Deliver the messages that are due, as the sensor `webhooks` does.

    From the first delivery on, events are queued for the webhooks in MLOPS_WEBHOOKS. Exits with 1
    if one was not delivered.
    """
    from mlops_assets.integrations.webhooks.declaration import read_webhooks
    from mlops_assets.integrations.webhooks.deliver import deliver

    path = Settings.from_environment().webhooks
    if path is None:
        raise SettingsError("MLOPS_WEBHOOKS is not set; name the YAML file that declares webhooks")
    done = deliver(open_store().registry, read_webhooks(path))
    rows = [
        _described(message)
        | {
            "state": attempt.state,
            "attempts": message.attempts + 1,
            "due": attempt.due,
            "error": attempt.error,
        }
        for message, attempt in done
    ]
    show(rows, as_json, COLUMNS, "no message is due")
    if any(attempt.error for _, attempt in done):
        raise typer.Exit(1)


@app.command("list")
def list_messages(
    dead: Annotated[
        bool, typer.Option("--dead", help="Only those that are not tried again.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List messages, oldest first."""
    rows = [
        _described(message)
        for message in open_store().registry.webhook_messages("dead" if dead else None)
    ]
    show(rows, as_json, COLUMNS, "no dead message" if dead else "no message yet")


@app.command()
def retry(
    message_id: Annotated[str, typer.Argument(metavar="ID", help="Id of a dead message.")],
) -> None:
    """Deliver a dead message again, with the same id, in the next delivery."""
    message = open_store().registry.retry_message(message_id)
    console.print(f"{message.id} is to be delivered to {message.webhook} again")


def _described(message: WebhookMessage) -> dict[str, object]:
    return {name: getattr(message, name) for name in (*COLUMNS, "body")}
