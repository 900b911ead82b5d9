"""``kerma admin keys``: the keys that sign tokens."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from kerma_client.commands.options import DEFAULT_DATA, Data
from kerma_client.local import use_settings
from kerma_client.terminal import console, say, table

app = typer.Typer(help="Keys that sign access tokens.")


@app.command("list")
def list_keys(data: Data = DEFAULT_DATA) -> None:
    """Show all keys; the last one signs."""
    from kerma_allinone.admin import keys

    use_settings(data)
    rows = (
        (
            key.kid,
            f"{key.not_before:%Y-%m-%d %H:%M:%S}",
            f"{key.not_after:%Y-%m-%d %H:%M:%S}" if key.not_after else "",
        )
        for key in asyncio.run(keys.listed())
    )
    console().print(table(("key", "signs from", "accepted until"), rows))


@app.command("rotate")
def rotate(
    at_once: Annotated[
        bool, typer.Option("--at-once", help="Void all access tokens now: a key was stolen.")
    ] = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Let a new key sign. Tokens of the former one are accepted until they expire."""
    from kerma_allinone.admin import keys

    use_settings(data)
    asyncio.run(keys.rotate(at_once=at_once))
    say("a new key signs now" if at_once else "a new key signs from half a minute on")
