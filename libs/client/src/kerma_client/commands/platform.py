"""Commands that start Kerma: demo, up, serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kerma_client.commands.options import DEFAULT_DATA


def demo(
    primaries: Annotated[int, typer.Option(min=1, help="Protons to simulate.")] = 20_000,
    tasks: Annotated[int, typer.Option(min=1, help="Tasks to split them into.")] = 8,
    port: Annotated[
        int, typer.Option(help="Port of the REST interface; 0 chooses a free one.")
    ] = 0,
    data: Annotated[
        Path | None, typer.Option(help="Keep everything here; default a temporary directory.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where results and pictures go.")] = Path("kerma-out"),
    as_json: Annotated[bool, typer.Option("--json", help="End with one line of JSON.")] = False,
) -> None:
    """Run real Geant4 protons through the whole system and draw their Bragg peak."""
    from kerma_client.demo import run_demo

    run_demo(primaries=primaries, tasks=tasks, port=port, data=data, out=out, as_json=as_json)


def up(
    data: Annotated[Path, typer.Option(help="Where everything is kept.")] = DEFAULT_DATA,
    port: Annotated[
        int, typer.Option(help="Port of the REST interface; 0 chooses a free one.")
    ] = 8080,
    slots: Annotated[
        int | None,
        typer.Option(min=0, help="Tasks to run at once; default one per core, 0: no worker here."),
    ] = None,
    substitute: Annotated[
        bool,
        typer.Option(
            "--substitute", help="Run editor projects for engines that are not installed on Geant4."
        ),
    ] = False,
) -> None:
    """Start everything on this machine and stay up until interrupted."""
    from kerma_allinone.preflight import check

    check(data.resolve(), port, slots)  # before the imports below, which take a second
    from kerma_allinone.starting import run_up

    run_up(data, port, slots, "geant4" if substitute else None)


def serve(
    service: Annotated[
        str, typer.Argument(help="auth, jobs, runner, results, batch, worker or gateway.")
    ],
    roles: Annotated[str, typer.Option(help="Parts to run: api, project, process.")] = (
        "api,project,process"
    ),
) -> None:
    """Run one service alone, configured by the environment."""
    from kerma_allinone.serve import run_serve

    run_serve(service, frozenset(roles.split(",")))
