"""The ``kerma`` command line. Heavy modules are imported by the commands that need them."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from kerma_client import admin_cli, engines_cli, jobs_cli, platform_cli
from kerma_client.client import ApiError
from kerma_client.local import DemoError, NotRunningError
from kerma_client.terminal import warn

app = typer.Typer(
    name="kerma",
    help="Monte-Carlo particle transport: run simulations, follow them, read their results.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.command()(platform_cli.demo)
app.command()(platform_cli.up)
app.command()(jobs_cli.run)
app.command()(jobs_cli.jobs)
app.command()(jobs_cli.results)
app.command()(jobs_cli.cancel)
app.command()(jobs_cli.story)
app.command()(platform_cli.serve)
app.command("test", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    platform_cli.run_tests
)
app.command()(platform_cli.lint)
app.command()(platform_cli.bench)
app.add_typer(engines_cli.app, name="engines")
app.add_typer(admin_cli.app, name="admin")


def main() -> None:
    """Entry point: errors that a user can mend are one sentence, not a stack trace."""
    try:
        app()
    except (ApiError, DemoError, NotRunningError) as error:
        _end(error)
    except Exception as error:
        if type(error).__module__.partition(".")[0] in OURS:
            _end(error)
        raise


# their modules are too heavy to import for every command; their texts are written for people
OURS = frozenset({"kerma_common", "kerma_allinone", "kerma_engines"})


def _end(error: Exception) -> NoReturn:
    warn(f"kerma: {error}")
    sys.exit(1)


if __name__ == "__main__":
    main()
