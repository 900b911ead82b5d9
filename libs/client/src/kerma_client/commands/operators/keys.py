"""``kerma admin keys``: the keys that sign tokens."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from kerma_client.commands import listing
from kerma_client.commands.options import DEFAULT_DATA, AsJson, Data
from kerma_client.local import use_settings

app = typer.Typer(help="Keys that sign access tokens.")


@app.command("list")
def list_keys(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Show all keys; the last one signs."""
    from kerma_allinone.admin import keys

    use_settings(data)
    columns = {"id": "key", "signs_at": "signs from", "expires_at": "accepted until"}
    of = {"id": "kid", "signs_at": "not_before", "expires_at": "not_after"}
    found = listing.attributes(tuple(columns), asyncio.run(keys.listed()), **of)
    listing.rows(columns, found, as_json=as_json)


@app.command("rotate")
def rotate(
    at_once: Annotated[
        bool, typer.Option("--at-once", help="Void all access tokens now: a key was stolen.")
    ] = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Let a new key sign. Tokens of the former one are accepted until they expire."""
    from kerma_allinone.admin import keys

    use_settings(data)
    asyncio.run(keys.rotate(at_once=at_once))
    sentence = "a new key signs now" if at_once else "a new key signs from half a minute on"
    listing.done(sentence, as_json=as_json, rotated=True, at_once=at_once)
