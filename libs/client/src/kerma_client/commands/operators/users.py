"""``kerma admin users``: accounts of a running Kerma."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from kerma_client.commands import listing
from kerma_client.commands.options import DEFAULT_DATA, AsJson, Data
from kerma_client.local import use_settings
from kerma_client.terminal import fail

app = typer.Typer(help="Accounts: create, disable, remove, roles, passwords.")
Name = Annotated[str, typer.Argument(help="The user's name or id.")]
Role = Annotated[str, typer.Argument(help="operator, admin, or a role that has quotas.")]
Stdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]
Ask = Annotated[bool, typer.Option("--ask-password", help="Ask for the password.")]
MOST_PASSWORD = 4096


def _password(*, stdin: bool, ask: bool) -> str | None:
    """Return the password that the operator gives, None for a random one.

    There is no option that takes it: everybody could read it in the list of processes.
    """
    if stdin and ask:
        raise typer.BadParameter("--password-stdin and --ask-password exclude each other")
    if stdin:
        text = sys.stdin.read(MOST_PASSWORD)
        return text.removesuffix("\n").removesuffix("\r")
    if ask:
        given: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return given
    return None


@app.command("list")
def list_users(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Show all accounts."""
    from kerma_allinone.admin import users

    use_settings(data)
    names = ("id", "username", "source", "roles", "disabled", "registered_at")
    found = listing.attributes(names, asyncio.run(users.listed()), id="user_id")
    columns = {
        "username": "name",
        "source": "source",
        "roles": "roles",
        "disabled": "",
        "registered_at": "registered",
        "id": "id",
    }
    listing.rows(columns, found, as_json=as_json, disabled=listing.mark("disabled"))


@app.command("add")
def add(
    name: Name,
    stdin: Stdin = False,
    ask: Ask = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Create an account and print its password, which the user should change."""
    from kerma_allinone.admin import users

    given = _password(stdin=stdin, ask=ask)
    use_settings(data)
    password = asyncio.run(users.add(name, given))
    _tell(name, "created", password if given is None else None, as_json=as_json)


@app.command("reset-password")
def reset_password(
    name: Name,
    stdin: Stdin = False,
    ask: Ask = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Print a new password for a user who has lost it, and end all sessions of the user."""
    from kerma_allinone.admin import users

    given = _password(stdin=stdin, ask=ask)
    use_settings(data)
    password = asyncio.run(users.reset_password(name, given))
    _tell(name, "changed", password if given is None else None, as_json=as_json)


def _tell(name: str, what: str, password: str | None, *, as_json: bool) -> None:
    """Print a random password, which nobody can read again."""
    told = {} if password is None else {"password": password}
    sentence = f"{name} is {what}" if password is None else password
    listing.done(sentence, as_json=as_json, username=name, **{what: True}, **told)


@app.command("remove")
def remove(
    name: Name,
    with_jobs: Annotated[
        bool, typer.Option("--with-jobs", help="Remove the user's jobs and results, too.")
    ] = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Remove a user, with sessions, tokens, roles and name. A user who has jobs is refused."""
    from kerma_allinone.admin import jobs, users

    async def removed() -> int:
        user_id = await users.id_of(name)
        owned = await jobs.count(user_id)
        if owned and not with_jobs:
            fail(
                f"{name} has {owned} jobs; remove them one by one with kerma admin jobs remove, or "
                "all of them with --with-jobs. To keep them, disable the account instead"
            )
        return await users.remove(user_id, lambda: jobs.remove_all(user_id))

    use_settings(data)
    number = asyncio.run(removed())
    sentence = f"{name} and {number} jobs are removed" if number else f"{name} is removed"
    listing.done(sentence, as_json=as_json, username=name, removed=True, jobs=number)


@app.command("disable")
def disable(name: Name, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Refuse every token and login of a user. Running jobs go on."""
    from kerma_allinone.admin import users

    use_settings(data)
    asyncio.run(users.disable(name))
    listing.done(f"{name} is disabled", as_json=as_json, username=name, disabled=True)


@app.command("enable")
def enable(name: Name, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Let a user log in again."""
    from kerma_allinone.admin import users

    use_settings(data)
    asyncio.run(users.enable(name))
    listing.done(f"{name} is enabled", as_json=as_json, username=name, disabled=False)


@app.command("grant")
def grant(name: Name, role: Role, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Give a role to a user; it counts from the user's next login or refresh on."""
    from kerma_allinone.admin import users

    use_settings(data)
    asyncio.run(users.grant(name, role))
    sentence = f"{name} has the role {role}"
    listing.done(sentence, as_json=as_json, username=name, role=role, granted=True)


@app.command("revoke")
def revoke(name: Name, role: Role, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Take a role from a user, at once."""
    from kerma_allinone.admin import users

    use_settings(data)
    asyncio.run(users.revoke(name, role))
    sentence = f"{name} does not have the role {role}"
    listing.done(sentence, as_json=as_json, username=name, role=role, granted=False)
