"""``kerma admin``: show, retry or give up what is in quarantine or parked."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from kerma_client.commands.options import DEFAULT_DATA, Data
from kerma_client.local import use_settings
from kerma_client.terminal import console, say, table

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


def poison(data: Data = DEFAULT_DATA) -> None:
    """List messages that could not be decoded and were passed over, oldest first."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    rows = (
        tuple(str(found.get(name, "")) for name in ("at", "source", "subject", "seq", "reason"))
        for found in asyncio.run(admin.poison())
    )
    console().print(table(("at", "source", "subject", "sequence", "reason"), rows))


def audit(data: Data = DEFAULT_DATA) -> None:
    """List what operators did to read models and processes, oldest first."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    rows = (
        (f"{e.at:%Y-%m-%d %H:%M:%S}", e.by, e.action, e.service, e.part, e.target, e.reason)
        for e in asyncio.run(admin.audited())
    )
    headings = ("at", "by", "action", "service", "name", "target", "reason")
    console().print(table(headings, rows))


def lag(data: Data = DEFAULT_DATA) -> None:
    """Show how far every read model and process is behind, and what is in quarantine or parked."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    headings = ("service", "kind", "name", "stream", "commits behind", "quarantined", "parked")
    rows = (
        (f.service, f.kind, f.name, f.stream, str(f.behind), str(f.quarantined), str(f.parked))
        for f in asyncio.run(admin.lags())
    )
    console().print(table(headings, rows))


def quarantine(data: Data = DEFAULT_DATA) -> None:
    """List what could not be applied: aggregates of read models, instances of processes."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    headings = ("service", "name", "aggregate or instance", "failed at", "commits", "error")
    rows = (
        (
            found.service,
            f"{found.entry.name} ({found.kind})",
            found.entry.unit,
            f"{found.entry.stream}:{found.entry.seq}",
            str(found.entry.commits),
            found.entry.error,
        )
        for found in asyncio.run(admin.quarantined())
    )
    console().print(table(headings, rows))


def replay(
    service: str, name: str, unit: Unit, reason: Why = "after a fix", data: Data = DEFAULT_DATA
) -> None:
    """Apply what a read model or process has in quarantine of one unit, after a fix."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    count = asyncio.run(admin.replay(service, name, unit, reason))
    say(f"{count} commits applied")


def skip(service: str, name: str, unit: Unit, reason: Why, data: Data = DEFAULT_DATA) -> None:
    """Give up the commits that failed and apply those that wait behind them."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    given_up, applied = asyncio.run(admin.skip(service, name, unit, reason))
    say(f"{given_up} commits given up, {applied} applied")


@processes.command("parked")
def parked(data: Data = DEFAULT_DATA) -> None:
    """List commands and timers whose execution failed."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    headings = ("service", "process", "id", "instance", "command or timer", "since", "error")
    rows = (
        (service, p.process, p.id, p.instance, p.what, f"{p.at:%Y-%m-%d %H:%M:%S}", p.error)
        for service, p in asyncio.run(admin.parked())
    )
    console().print(table(headings, rows))


@processes.command("retry")
def retry(
    service: str, parked_id: str, reason: Why = "after a fix", data: Data = DEFAULT_DATA
) -> None:
    """Execute a parked command, or fire a parked timer, again."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    asyncio.run(admin.retry(service, parked_id, reason))
    say(f"{parked_id} is tried again")


@processes.command("drop")
def drop(service: str, parked_id: str, reason: Why, data: Data = DEFAULT_DATA) -> None:
    """Give up a parked command or timer."""
    from kerma_allinone.admin import system as admin

    use_settings(data)
    asyncio.run(admin.drop(service, parked_id, reason))
    say(f"{parked_id} is dropped")
