"""``kerma engines list``: engines of this machine, and those that a running Kerma offers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kerma_allinone.running import NotRunningError
from kerma_client.commands.options import DEFAULT_DATA, Data
from kerma_client.errors import UnreachableError
from kerma_client.local import connect
from kerma_client.terminal import console, put_json, say, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from kerma_client.api.models import Engine
    from kerma_engines.catalogue.catalogue import Absent, Offer
    from kerma_sandbox.sandbox import Sandbox

CATALOGUE = "engines.toml"


def list_engines(
    catalogue: Annotated[
        Path | None,
        typer.Option(help=f"Catalogue of installed engines; default {CATALOGUE} in the data."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Show this machine's engines with version and digest, and what Kerma offers."""
    from kerma_allinone.walls import local_sandbox
    from kerma_engines.catalogue.catalogue import Absent, Offer, load_catalogue

    sandbox = local_sandbox(data)
    survey = load_catalogue(catalogue or data / CATALOGUE, sandbox).survey()
    offers = tuple(found for found in survey if isinstance(found, Offer))
    absent = tuple(found for found in survey if isinstance(found, Absent))
    offered = _offered(data)
    if as_json:
        shown = {
            "local": [asdict(offer) for offer in offers],
            "absent": {engine.name: engine.why for engine in absent},
            "platform": None if offered is None else [asdict(engine) for engine in offered],
            "sandbox": {
                "level": sandbox.level,
                "open": [*sandbox.open],
                "reasons": {str(level): why for level, why in sandbox.reasons.items()},
            },
        }
        put_json(json.dumps(shown, indent=2))
        return
    out = console()
    out.print(_local_table(survey))
    for engine in absent:
        if engine.broken:
            say(f"{engine.name} is not available: {engine.why}")
    for line in _about(sandbox):
        say(line)
    if offered is None:
        out.print(f"No Kerma runs on {data}.", soft_wrap=True)
    else:
        out.print(_platform_table(offered))


REACH = {
    "files": "read files that they do not need",
    "secrets": "read files that only Kerma's user may read",
    "network": "use the network",
    "sockets": "connect to Unix sockets",
    "processes": "read the environment of other processes",
    "signals": "send signals to other processes",
    "control": "change limits and priorities of other processes",
    "count": "start any number of processes until Kerma looks at them again",
    "memory": "take memory that no limit counts",
}
"""What engines may do where a wall of the sandbox is open."""


def _about(sandbox: Sandbox) -> Iterator[str]:
    yield f"Engines are confined by: {sandbox.level}."
    for wall in sandbox.open:
        yield f"Open: engines may {REACH[wall]} ({wall}; docs/sandbox.md)."
    for level, reason in sandbox.reasons.items():
        yield f"Not by {level}: {reason}"


def _offered(data: Path) -> tuple[Engine, ...] | None:
    """Return what the workers of a running Kerma offer, or None when none runs."""
    try:
        with connect(data) as client:
            return client.engines()
    except (NotRunningError, UnreachableError):
        return None


def _local_table(survey: tuple[Offer | Absent, ...]) -> Table:
    headings = ("engine", "runs on", "version", "digest", "licence")
    return table(headings, ((found.name, *_local_row(found)) for found in survey), "This machine")


def _local_row(offer: Offer | Absent) -> tuple[str, ...]:
    from kerma_engines.catalogue.catalogue import Absent

    if isinstance(offer, Absent):
        return ("not available" if offer.broken else "not installed", "", "", "")
    runs = "itself" if offer.runs == offer.name else offer.runs
    return (runs, offer.version or "unknown", offer.digest[:12], offer.licence)


def _platform_table(offered: tuple[Engine, ...]) -> Table:
    headings = ("engine", "version", "digest", "workers", "slots", "confined by")
    return table(headings, _platform_rows(offered), "Offered by Kerma")


def _platform_rows(offered: tuple[Engine, ...]) -> Iterator[tuple[str, ...]]:
    for engine in offered:
        if not engine.installations:
            instead = engine.substitute
            editor = f"editor projects run on {instead}" if instead else "not offered"
            yield (engine.name, editor, "", "0", "0", "")
        for found in engine.installations:
            version, digest = found.version or "unknown", found.digest[:12]
            walls = ", ".join(found.sandboxes) or "unknown"
            yield (engine.name, version, digest, str(found.workers), str(found.slots), walls)
