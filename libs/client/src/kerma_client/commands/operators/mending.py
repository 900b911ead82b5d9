"""``kerma admin``: show, retry or give up what is in quarantine or parked."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from kerma_client.commands import listing
from kerma_client.commands.options import DEFAULT_DATA, AsJson, Data
from kerma_client.local import use_settings

processes = typer.Typer(help="Commands and timers that process managers have parked.")

Unit = Annotated[
    str,
    typer.Option(
        "--aggregate", "--instance", help="What is in quarantine: see projections quarantine."
    ),
]
Why = Annotated[str, typer.Option("--reason", help="Kept in the audit stream.")]


def add_commands(app: typer.Typer, projections: typer.Typer) -> None:
    """Add the commands of this module to their groups."""
    app.add_typer(processes, name="processes")
    app.command("poison")(poison)
    app.command("audit")(audit)
    projections.command("lag")(lag)
    projections.command("quarantine")(quarantine)
    projections.command("replay")(replay)
    projections.command("skip")(skip)


def poison(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """List messages that could not be decoded and were passed over, oldest first."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    columns = {name: name for name in ("at", "source", "subject", "seq", "reason")}
    found = (
        {name: str(one.get(name, "")) for name in columns} for one in asyncio.run(admin.poison())
    )
    listing.rows(columns | {"seq": "sequence"}, found, as_json=as_json)


def audit(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """List what operators did to read models and processes, oldest first."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    columns = {name: name for name in ("at", "by", "action", "service", "part", "target", "reason")}
    found = listing.attributes(tuple(columns), asyncio.run(admin.audited()))
    listing.rows(columns | {"part": "name"}, found, as_json=as_json)


def lag(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Show how far every read model and process is behind, and what is in quarantine or parked."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    names = ("service", "kind", "name", "stream", "behind", "quarantined", "parked")
    columns = {name: name for name in names} | {"behind": "commits behind"}
    listing.rows(columns, listing.attributes(names, asyncio.run(admin.lags())), as_json=as_json)


def quarantine(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """List what could not be applied: aggregates of read models, instances of processes."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    columns = {
        "service": "service",
        "kind": "kind",
        "name": "name",
        "unit": "aggregate or instance",
        "failed_at": "failed at",
        "commits": "commits",
        "error": "error",
    }
    found = (
        {
            "service": one.service,
            "kind": one.kind,
            "name": one.entry.name,
            "unit": one.entry.unit,
            "failed_at": f"{one.entry.stream}:{one.entry.seq}",
            "commits": one.entry.commits,
            "error": one.entry.error,
        }
        for one in asyncio.run(admin.quarantined())
    )
    listing.rows(columns, found, as_json=as_json)


def replay(
    service: str,
    name: str,
    unit: Unit,
    reason: Why = "after a fix",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Apply what a read model or process has in quarantine of one unit, after a fix."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    count = asyncio.run(admin.replay(service, name, unit, reason))
    listing.done(f"{count} commits applied", as_json=as_json, applied=count)


def skip(
    service: str,
    name: str,
    unit: Unit,
    reason: Why,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Give up the commits that failed and apply those that wait behind them."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    given_up, applied = asyncio.run(admin.skip(service, name, unit, reason))
    sentence = f"{given_up} commits given up, {applied} applied"
    listing.done(sentence, as_json=as_json, given_up=given_up, applied=applied)


@processes.command("parked")
def parked(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """List commands and timers whose execution failed."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    names = ("process", "id", "instance", "what", "at", "error")
    columns = {"service": "service", **{name: name for name in names}}
    columns |= {"what": "command or timer", "at": "since"}
    found = [
        {"service": service, **row}
        for service, one in asyncio.run(admin.parked())
        for row in listing.attributes(names, [one])
    ]
    listing.rows(columns, found, as_json=as_json)


@processes.command("retry")
def retry(
    service: str,
    parked_id: str,
    reason: Why = "after a fix",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Execute a parked command, or fire a parked timer, again."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    asyncio.run(admin.retry(service, parked_id, reason))
    listing.done(f"{parked_id} is tried again", as_json=as_json, id=parked_id, retried=True)


@processes.command("drop")
def drop(
    service: str, parked_id: str, reason: Why, data: Data = DEFAULT_DATA, as_json: AsJson = False
) -> None:
    """Give up a parked command or timer."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    asyncio.run(admin.drop(service, parked_id, reason))
    listing.done(f"{parked_id} is dropped", as_json=as_json, id=parked_id, dropped=True)
