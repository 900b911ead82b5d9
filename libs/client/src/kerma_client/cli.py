"""The ``kerma`` command line. Commands import heavy modules only when they run."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import typer

from kerma_client import exits
from kerma_client.commands import admin, auth, engines, jobs, platform
from kerma_client.terminal import fail, plain_streams

PROGRAM = "kerma"
TOOLS = "kerma_tools"
"""The package of developers' commands. A clone has it, an installed Kerma does not."""
TOOL_COMMANDS = ("test", "lint", "bench", "generate")

app = typer.Typer(
    name=PROGRAM,
    help="Monte-Carlo particle transport: run simulations, follow them, read their results.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Rich would write to the terminal directly, past our filter
    add_completion=False,
)

app.command()(platform.demo)
app.command()(platform.up)
app.command()(jobs.run)
app.command()(jobs.submit)
app.command()(jobs.jobs)
app.command()(jobs.results)
app.command()(jobs.cancel)
app.command()(jobs.story)
app.command()(platform.serve)
app.add_typer(engines.app, name="engines")
app.add_typer(auth.app, name="auth")
app.add_typer(admin.app, name="admin")


def add_tools(to: typer.Typer, package: str = TOOLS) -> None:
    """Add the commands for developers, or ones that say where to find them."""
    if find_spec(package) is not None:
        import_module(f"{package}.commands").add_to(to)
        return
    for name in TOOL_COMMANDS:
        arguments = {"allow_extra_args": True, "ignore_unknown_options": True}
        to.command(name, hidden=True, context_settings=arguments)(_needs_a_clone)


def _needs_a_clone(context: typer.Context) -> None:
    fail(f"this Kerma is installed without its source; run ./kerma {context.info_name} in a clone")


add_tools(app)


def main() -> None:
    """Run the command line. Errors that a user can fix are one sentence, not a stack trace."""
    with plain_streams():
        try:
            app(prog_name=PROGRAM)
        except Exception as error:
            exits.end(PROGRAM, error)


if __name__ == "__main__":
    main()
