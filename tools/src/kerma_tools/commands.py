"""Commands for developers: test, lint, bench, generate."""

from __future__ import annotations

from typing import Annotated

import typer

from kerma_client.terminal import fail, say


def add_to(app: typer.Typer) -> None:
    """Add the commands to a command line."""
    passed_on = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command("test", context_settings=passed_on)(run_tests)
    app.command()(lint)
    app.command()(bench)
    app.command()(generate)


def run_tests(
    context: typer.Context,
    tier: Annotated[
        str,
        typer.Argument(
            help="unit, default, physics, chaos, slow, browser, oidc, keycloak, all, or a path."
        ),
    ] = "default",
) -> None:
    """Run the tests of a tier or of a path; further arguments go to pytest."""
    from kerma_tools.testing import run_tier

    raise typer.Exit(run_tier(tier, context.args))


def lint(
    fix: Annotated[
        bool, typer.Option("--fix", help="First apply ruff's fixes, and format.")
    ] = False,
) -> None:
    """Check style, types and import rules."""
    from kerma_tools.linting import run_checks

    raise typer.Exit(run_checks(fix=fix))


def bench(
    name: Annotated[
        str | None, typer.Argument(help="One bench, such as append or requests; default all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per figure.")] = False,
) -> None:
    """Measure the figures, each beside its limit or peer."""
    from kerma_tools.bench.run import run_bench

    run_bench(name, as_json=as_json)


def generate() -> None:
    """Write everything that is generated: documents, golden files, shapes of read models."""
    from kerma_tools.generating import generate_all
    from kerma_tools.golden import RevisionNotRaisedError

    try:
        changed = generate_all()
    except RevisionNotRaisedError as error:
        fail(str(error))
    for path in changed:
        say(f"wrote {path}")
