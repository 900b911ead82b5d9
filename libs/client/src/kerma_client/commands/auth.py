"""``kerma auth``: the caller's own account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kerma_client.commands.options import DEFAULT_DATA, Data
from kerma_client.local import connect
from kerma_client.terminal import fail, say

if TYPE_CHECKING:
    from kerma_client.client import KermaClient

app = typer.Typer(help="Your account.")
Url = Annotated[str, typer.Option(help="Base URL of a Kerma elsewhere; needs --user.")]
User = Annotated[str, typer.Option(help="Log in with this name, and ask for the password.")]


def opened(data: Data, url: str, user: str) -> tuple[KermaClient, str]:
    """Return a client that is logged in, and the password, "" for the local account."""
    if not user:
        if url:
            fail("--url needs --user")
        return connect(data), ""
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
    client, old = opened(data, url, user)
    with client:
        new = typer.prompt("New password", hide_input=True, confirmation_prompt=True, err=True)
        client.change_password(old, new)
    say("The password is changed; your other sessions have ended")
