"""``kerma admin sessions`` and ``tokens``: how users are logged in."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from kerma_client.commands import listing
from kerma_client.commands.options import DEFAULT_DATA, AsJson, Data
from kerma_client.local import use_settings

sessions = typer.Typer(help="Sessions of users: count, end.")
tokens = typer.Typer(help="API tokens of users: list, revoke.")
Name = Annotated[str, typer.Argument(help="The user's name or id.")]


@sessions.command("list")
def list_sessions(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Show how many sessions each user has now."""
    from kerma_allinone.admin import logins

    use_settings(data)
    columns = {
        "username": "name",
        "sessions": "sessions",
        "last_used_at": "last used",
        "user_id": "id",
    }
    found = asyncio.run(logins.sessions())
    shown = listing.attributes(tuple(columns), found, last_used_at="last_used")
    listing.rows(columns, shown, as_json=as_json)


@sessions.command("end")
def end_sessions(name: Name, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """End all sessions of a user, in every service within a second."""
    from kerma_allinone.admin import logins

    use_settings(data)
    ended = asyncio.run(logins.end(name))
    listing.done(f"{ended} sessions of {name} are ended", as_json=as_json, name=name, ended=ended)


@tokens.command("list")
def list_tokens(name: Name, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Show the valid API tokens of a user, without their secrets."""
    from kerma_allinone.admin import logins

    use_settings(data)
    columns = {
        "id": "token",
        "label": "label",
        "roles": "roles",
        "created_at": "created",
        "expires_at": "expires",
        "last_used_at": "last used",
    }
    of = {
        "id": "token_id",
        "created_at": "created",
        "expires_at": "expires",
        "last_used_at": "last_used",
    }
    found = listing.attributes(tuple(columns), asyncio.run(logins.tokens(name)), **of)
    listing.rows(columns, found, as_json=as_json)


@tokens.command("revoke")
def revoke_token(
    name: Name,
    token_id: Annotated[str, typer.Argument(help="The id that the list shows.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Make a token of a user void, in every service within a second."""
    from kerma_allinone.admin import logins

    use_settings(data)
    asyncio.run(logins.revoke(name, token_id))
    listing.done(f"{token_id} is void", as_json=as_json, id=token_id, revoked=True)
