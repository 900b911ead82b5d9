"""``kerma bench``: measure figures by name and print them beside their limit or peer."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterable

import orjson
import typer
from rich.table import Table

from kerma_client.terminal import console, put_json, warn
from kerma_tools.bench.figure import Figure

# name -> module:function; a function measures one figure or several that share their set-up
BENCHES = {
    "append": "eventlog.append:append_throughput",
    "alone": "eventlog.append:append_alone",
    "projection": "eventlog.projection:projection_throughput",
    "rebuild": "eventlog.projection:rebuild_throughput",
    "edge": "eventlog.edge:edge_cost",
    "requests": "whole.requests:request_latencies",
    "polling": "whole.clients.polling:polling",
    "live-updates": "whole.clients.listeners:live_updates",
    "api": "api.group:figures",
    "logins": "whole.clients.logins:logins",
    "transport": "whole.transport:transport_throughput",
    "live": "whole.transport:progress_and_completion",
    "queueing": "whole.tasks:queueing",
    "dispatching": "whole.tasks:dispatching",
    "tiny": "whole.tasks:tiny",
    "dispatch": "whole.dispatch:dispatcher_round",
    "walls": "whole.neighbours.walls:walls",
    "start": "whole.costs.start:starts_and_stop",
    "idle": "whole.costs.idle:idle",
    "import": "whole.importing:importing",
    "clone": "whole.costs.start:fresh_clone",
    "convert": "engine.convert:convert_sixteen_zones",
    "engines": "engine.results:engine_figures",
    "scorers": "engine.scorers:own_scorers",
    "sandbox": "engine.sandbox:sandbox_figures",
}


def run_bench(name: str | None, *, as_json: bool) -> None:
    """Measure one bench, or all. Exit with status 1 when a bar is missed or a group failed."""
    chosen = [key for key in BENCHES if name in (None, key)]
    if not chosen:
        raise typer.BadParameter(f"{name} is not one of {', '.join(BENCHES)}")
    failed, missed = [], False
    table = Table("figure", "measured", "held against", "ratio", "bar", "")
    began = time.monotonic()
    for key in chosen:
        group = time.monotonic()
        try:
            for figure in _measure(BENCHES[key]):
                missed |= not figure.passed
                if as_json:
                    put_json(_line(figure))
                else:
                    table.add_row(*_cells(figure))
                    warn(f"measured {figure.name}")
        except Exception as error:
            failed.append(key)
            warn(f"{key} failed: {type(error).__name__}: {error}")
        warn(f"{key} took {time.monotonic() - group:.0f} s")
    if not as_json:
        console().print(table, soft_wrap=True)
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    warn(f"groups measured: {len(chosen) - len(failed)}, in {minutes}:{seconds:02} minutes")
    if failed:
        warn(f"groups that failed: {', '.join(failed)}")
    if missed or failed:
        raise typer.Exit(1)


def _measure(target: str) -> Iterable[Figure]:
    module, _, function = target.partition(":")
    loaded = importlib.import_module(f"kerma_tools.bench.{module}")
    measure: Callable[[], Figure | Iterable[Figure]] = getattr(loaded, function)
    found = measure()
    return (found,) if isinstance(found, Figure) else found


def _line(figure: Figure) -> bytes:
    shown = {name: getattr(figure, name) for name in Figure.__slots__}
    return orjson.dumps({**shown, "ratio": figure.ratio, "passed": figure.passed})


def _cells(figure: Figure) -> tuple[str, ...]:
    sign = "≤" if figure.lower_is_better else "≥"
    return (
        figure.name,
        f"{figure.value:.4g} {figure.unit}",
        f"{figure.peer}: {figure.peer_value:.4g} {figure.unit}",
        f"{figure.ratio:.3g}",
        f"{sign} {figure.bar:g}",
        "met" if figure.passed else "MISSED",
    )


def limit(name: str, value: float, unit: str, at_most: float, note: str = "limit") -> Figure:
    """Return a figure compared with a fixed limit."""
    return Figure(name, value, unit, note, at_most, 1.0, lower_is_better=True)
