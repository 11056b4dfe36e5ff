"""`mlops token`: tokens for callers of the HTTP API."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.cli.terminal.output import Json, advise, console, open_store, show, show_one
from mlops_assets.principals import Role

if TYPE_CHECKING:
    from mlops_assets.registry import Token

app = typer.Typer(help="Tokens for callers of the HTTP API.", no_args_is_help=True)
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
COLUMNS = ("id", "name", "roles", "state", "created", "created_by", "expires")


def _lifetime(text: str) -> timedelta:
    found = re.fullmatch(r"([1-9]\d{0,3})([hdw])", text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a valid lifetime, e.g. 12h, 30d or 8w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Principal of the token, as named in the log.")],
    role: Annotated[list[Role], typer.Option(help="Role of the principal; repeatable.")],
    expires: Annotated[
        timedelta, typer.Option(parser=_lifetime, help="Lifetime, e.g. 12h, 30d, 8w.")
    ] = "30d",  # type: ignore[assignment]
    as_json: Json = False,
) -> None:
    """Create a token and print it once; only its hash is stored."""
    from mlops_assets.identity.tokens import create_token

    token, text = create_token(open_store().registry, name, set(role), expires)
    if as_json:
        show_one(_described(token) | {"token": text}, as_json)
        return
    advise(
        f"token {token.id} of {name} ({', '.join(token.roles)}), until"
        f" {token.expires:%Y-%m-%d %H:%M} UTC:"
    )
    console.print(text)


@app.command("list")
def list_tokens(as_json: Json = False) -> None:
    """List tokens, oldest first; never their secrets."""
    rows = [_described(token) for token in open_store().registry.tokens()]
    show(rows, as_json, COLUMNS, "no token yet; run 'mlops token create NAME --role scientist'")


@app.command()
def revoke(
    which: Annotated[
        str,
        typer.Argument(
            metavar="ID|NAME", help="Id, the token itself, or a name for all tokens of it."
        ),
    ],
) -> None:
    """Revoke a token; servers refuse it at once, 'mlops serve' after 5 seconds."""
    from mlops_assets.identity.tokens import identifier

    which = identifier(which) or which  # a secret is not printed again
    revoked = open_store().registry.revoke_tokens(which)
    for token in revoked:
        console.print(f"token {token.id} of {token.name} is revoked")
    if not revoked:
        console.print(f"{which} is revoked already")


def _described(token: Token) -> dict[str, object]:
    from mlops_assets.registry.store import now

    state = "expired" if token.expires <= now() else "valid"
    if token.revoked:
        state = "revoked"
    return {
        "id": token.id,
        "name": token.name,
        "roles": token.roles,
        "state": state,
        "created": token.created,
        "created_by": token.created_by,
        "expires": token.expires,
        "revoked": token.revoked,
    }
