"""``kerma auth``: the caller's own account."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from kerma_client.commands import listing
from kerma_client.commands.options import DEFAULT_DATA, Data
from kerma_client.errors import ApiError, UnreachableError
from kerma_client.local import log_in
from kerma_client.terminal import fail, say

if TYPE_CHECKING:
    from kerma_client.client import KermaClient

app = typer.Typer(help="Your account.")
token = typer.Typer(help="API tokens, with which scripts act for you.")
app.add_typer(token, name="token")
sessions = typer.Typer(help="Your sessions: list, end.")
app.add_typer(sessions, name="sessions")
Url = Annotated[str, typer.Option(help="Base URL of a Kerma elsewhere; needs --user.")]
User = Annotated[
    str,
    typer.Option(help="Log in with this name and ask for the password; else the local account."),
]


@contextmanager
def opened(data: Data, url: str, user: str) -> Iterator[tuple[KermaClient, str]]:
    """Log in, and out at the end; yield the client and the password, "" for the local account."""
    client, password = _logged_in(data, url, user)
    with client:
        try:
            yield client, password
        finally:
            # what the command did stands, also if its session is over already
            with suppress(ApiError, UnreachableError):
                client.logout()


def _logged_in(data: Data, url: str, user: str) -> tuple[KermaClient, str]:
    if not user:
        if url:
            fail("--url needs --user")
        return log_in(data), ""
    from kerma_client.client import KermaClient

    password: str = typer.prompt(f"Password of {user}", hide_input=True, err=True)
    client = KermaClient(url or address(data))
    client.login(user, password)
    return client, password


def address(data: Data) -> str:
    """Return the base URL of the Kerma that runs on a data directory. Raises NotRunningError."""
    from kerma_allinone.running import read_running

    return read_running(data).url


@app.command("password")
def change_password(
    user: Annotated[str, typer.Option(help="Your name.")],
    data: Data = DEFAULT_DATA,
    url: Url = "",
) -> None:
    """Change your password; your other sessions end."""
    with opened(data, url, user) as (client, old):
        new = typer.prompt("New password", hide_input=True, confirmation_prompt=True, err=True)
        client.change_password(old, new)
    say("The password is changed; your other sessions have ended")


@token.command("create")
def create_token(
    label: Annotated[str, typer.Argument(help="What you call the token.")],
    days: Annotated[int, typer.Option(min=1, max=366, help="How long it is valid.")] = 90,
    data: Data = DEFAULT_DATA,
    url: Url = "",
    user: User = "",
) -> None:
    """Print a new token. It is shown this once only; send it as a bearer token."""
    with opened(data, url, user) as (client, _):
        say(client.create_token(label, days).token)


@token.command("list")
def list_tokens(
    data: Data = DEFAULT_DATA,
    url: Url = "",
    user: User = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show your tokens, without their secrets."""
    with opened(data, url, user) as (client, _):
        found = client.tokens()
    columns = {
        "id": "token",
        "label": "label",
        "expires_at": "expires",
        "last_used_at": "last used",
    }
    listing.rows(
        columns, map(asdict, found), as_json=as_json, last_used_at=listing.or_else("never")
    )


@token.command("revoke")
def revoke_token(
    token_id: Annotated[str, typer.Argument(help="The id that the list shows.")],
    data: Data = DEFAULT_DATA,
    url: Url = "",
    user: User = "",
) -> None:
    """Make a token void, in every service within a second."""
    with opened(data, url, user) as (client, _):
        client.revoke_token(token_id)
    say(f"{token_id} is void")


@sessions.command("list")
def list_sessions(
    data: Data = DEFAULT_DATA,
    url: Url = "",
    user: User = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show where you are logged in; the current session is that of this command."""
    with opened(data, url, user) as (client, _):
        found = client.sessions()
    columns = {"id": "session", "last_used_at": "last used", "expires_at": "expires", "current": ""}
    marked = listing.mark("current")
    listing.rows(columns, map(asdict, found), as_json=as_json, current=marked)


@sessions.command("end")
def end_sessions(
    session_id: Annotated[
        str, typer.Argument(help="The id that the list shows; without it, all but this command's.")
    ] = "",
    data: Data = DEFAULT_DATA,
    url: Url = "",
    user: User = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """End a session of yours, or all others, in every service within a second."""
    with opened(data, url, user) as (client, _):
        if session_id:
            client.end_session(session_id)
        else:
            client.end_other_sessions()
    sentence = f"{session_id} has ended" if session_id else "Your other sessions have ended"
    listing.done(sentence, as_json=as_json, ended=session_id or "others")
