"""``kerma admin users``: accounts of a running Kerma."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from kerma_client.commands.options import DEFAULT_DATA, Data
from kerma_client.local import use_settings
from kerma_client.terminal import console, put_json, say, table

app = typer.Typer(help="Accounts: create, disable, roles, passwords.")
Name = Annotated[str, typer.Argument(help="The user's name or id.")]
Role = Annotated[str, typer.Argument(help="operator, admin, or a role that has quotas.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_users(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Show all accounts."""
    from kerma_allinone.admin import users

    use_settings(data)
    found = asyncio.run(users.listed())
    if as_json:
        rows = [
            {
                "user_id": user.user_id,
                "username": user.username,
                "source": user.source,
                "roles": list(user.roles),
                "disabled": user.disabled,
                "registered_at": user.registered_at.isoformat(),
            }
            for user in found
        ]
        put_json(json.dumps(rows))
        return
    shown = (
        (
            user.username,
            user.source,
            " ".join(user.roles),
            "disabled" if user.disabled else "",
            f"{user.registered_at:%Y-%m-%d %H:%M}",
            user.user_id,
        )
        for user in found
    )
    console().print(table(("name", "source", "roles", "", "registered", "id"), shown))


@app.command("add")
def add(name: Name, data: Data = DEFAULT_DATA) -> None:
    """Create an account and print its password, which the user should change."""
    from kerma_allinone.admin import users

    use_settings(data)
    say(asyncio.run(users.add(name)))


@app.command("reset-password")
def reset_password(name: Name, data: Data = DEFAULT_DATA) -> None:
    """Print a new password for a user who has lost it, and end all sessions of the user."""
    from kerma_allinone.admin import users

    use_settings(data)
    say(asyncio.run(users.reset_password(name)))


@app.command("disable")
def disable(name: Name, data: Data = DEFAULT_DATA) -> None:
    """Refuse every token and login of a user. Running jobs go on."""
    from kerma_allinone.admin import users

    use_settings(data)
    asyncio.run(users.disable(name))
    say(f"{name} is disabled")


@app.command("enable")
def enable(name: Name, data: Data = DEFAULT_DATA) -> None:
    """Let a user log in again."""
    from kerma_allinone.admin import users

    use_settings(data)
    asyncio.run(users.enable(name))
    say(f"{name} is enabled")


@app.command("grant")
def grant(name: Name, role: Role, data: Data = DEFAULT_DATA) -> None:
    """Give a role to a user; it counts from the user's next login or refresh on."""
    from kerma_allinone.admin import users

    use_settings(data)
    asyncio.run(users.grant(name, role))
    say(f"{name} has the role {role}")


@app.command("revoke")
def revoke(name: Name, role: Role, data: Data = DEFAULT_DATA) -> None:
    """Take a role from a user, at once."""
    from kerma_allinone.admin import users

    use_settings(data)
    asyncio.run(users.revoke(name, role))
    say(f"{name} does not have the role {role}")
