"""Commands that start Kerma or work on its source: demo, up, serve, test, lint, bench."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from kerma_client.jobs_cli import DEFAULT_DATA

ROOT = Path(__file__).resolve().parents[4]


def demo(
    primaries: Annotated[int, typer.Option(min=1, help="Protons to simulate.")] = 20_000,
    tasks: Annotated[int, typer.Option(min=1, help="Tasks to split them into.")] = 8,
    port: Annotated[int, typer.Option(help="Port of the REST interface; 0 takes a free one.")] = 0,
    data: Annotated[
        Path | None, typer.Option(help="Keep everything here; default a temporary directory.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where results and pictures go.")] = Path("kerma-out"),
    as_json: Annotated[
        bool, typer.Option("--json", help="End with one line for machines.")
    ] = False,
) -> None:
    """Run real Geant4 protons through the whole system and draw their Bragg peak."""
    from kerma_client.demo import run_demo

    run_demo(primaries=primaries, tasks=tasks, port=port, data=data, out=out, as_json=as_json)


def up(
    data: Annotated[Path, typer.Option(help="Where everything is kept.")] = DEFAULT_DATA,
    port: Annotated[
        int, typer.Option(help="Port of the REST interface; 0 takes a free one.")
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

    check(data.resolve(), port, slots)  # the rest takes a second to import
    from kerma_allinone.up import run_up

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


def run_tests(
    context: typer.Context,
    tier: Annotated[str, typer.Argument(help="default, physics, chaos or all.")] = "default",
) -> None:
    """Run the tests of a tier; further arguments go to pytest."""
    tiers = {
        # most tests wait for children; whole files, since tests of a file share their servers
        "default": ["-m", "not physics and not chaos and not slow", "-n", "2", "--dist=loadfile"],
        "physics": ["-m", "physics"],
        "chaos": ["-m", "chaos"],
        "slow": ["-m", "slow"],
        "all": [],
    }
    if tier not in tiers:
        raise typer.BadParameter(f"{tier} is not one of {', '.join(tiers)}")
    _exit_with([sys.executable, "-m", "pytest", *tiers[tier], *context.args])


def lint() -> None:
    """Check style, types and import rules."""
    bin_dir = Path(sys.executable).parent
    sources = [str(p) for pattern in SOURCES for p in sorted(ROOT.glob(pattern))]
    checks = [
        [str(bin_dir / "ruff"), "check", "."],
        [str(bin_dir / "ruff"), "format", "--check", "."],
        [str(bin_dir / "mypy"), *sources],
        [str(bin_dir / "lint-imports")],
    ]
    failed = [
        check[0] for check in checks if subprocess.run(check, cwd=ROOT, check=False).returncode
    ]
    if failed:
        raise typer.Exit(1)


SOURCES = ("libs/*/src", "services/*/src", "deploy/allinone/src")


def bench(
    name: Annotated[
        str | None, typer.Argument(help="One bench, such as append or requests; default all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per figure.")] = False,
) -> None:
    """Measure the figures, each beside its limit or peer."""
    from kerma_client.bench.run import run_bench

    run_bench(name, as_json=as_json)


def _exit_with(command: list[str]) -> None:
    raise typer.Exit(subprocess.run(command, cwd=ROOT, env=os.environ, check=False).returncode)
