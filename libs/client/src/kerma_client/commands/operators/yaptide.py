"""``kerma admin import-yaptide``: take over users and jobs of a YAPTIDE database."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kerma_client.commands.options import DEFAULT_DATA, AsJson, Data
from kerma_client.errors import Incomplete
from kerma_client.local import use_settings
from kerma_client.terminal import console, fail, put_json, say, table, warn

if TYPE_CHECKING:
    from kerma_allinone.yaptide.report import Report

VARIABLE = "KERMA_YAPTIDE_DATABASE_URL"
MOST_SHOWN = 20
COUNTS = ("found", "taken", "known", "skipped", "changed")
_PASSWORD = re.compile(r"//[^/@]*:[^/@]+@|[?&]password=")


def import_yaptide(
    database_url: Annotated[
        str,
        typer.Option(help=f"postgresql://USER@HOST/DATABASE; with a password better {VARIABLE}."),
    ] = "",
    database_url_file: Annotated[
        Path | None, typer.Option(help="File with the URL, which may hold the password.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Change nothing: count, and show what would be left out."),
    ] = False,
    leave_active: Annotated[
        bool,
        typer.Option("--leave-active", help="Leave jobs that have not ended for a later import."),
    ] = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Take over the users and jobs of a YAPTIDE database.

    It only reads there. Run it again to go on after an interruption, or for what is new since.
    """
    import uvloop

    from kerma_allinone.admin import yaptide
    from kerma_allinone.yaptide.report import Report

    url = _url(database_url, database_url_file)
    use_settings(data)
    report = Report()
    revision = ""
    try:
        with _progress() as begin:
            revision = uvloop.run(
                yaptide.take_over(url, report, begin, dry_run=dry_run, leave_active=leave_active)
            )
    finally:
        if report.found:
            _show(report, revision, as_json=as_json, dry_run=dry_run)
    if report.skipped:
        raise Incomplete("not everything could be taken over")


def _url(given: str, file: Path | None) -> str:
    if given:
        if _PASSWORD.search(given):
            warn(
                "kerma: everybody on this machine can read this password in the list of processes; "
                f"use --database-url-file or {VARIABLE}"
            )
        return given
    if file is not None:
        try:
            return file.read_text().strip()
        except OSError as error:
            fail(f"{file}: {error.strerror}")
        except UnicodeDecodeError:
            fail(f"{file}: is not text")
    if not (found := os.environ.get(VARIABLE)):
        raise typer.BadParameter(f"give --database-url, --database-url-file or {VARIABLE}")
    return found


@contextmanager
def _progress() -> Iterator[Callable[[int], Callable[[int], None]]]:
    """Show a bar on a terminal's standard error."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    shown = console(error=True)
    columns = (TextColumn("jobs"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=shown, disable=not shown.is_terminal) as bar:

        def begin(total: int) -> Callable[[int], None]:
            task = bar.add_task("jobs", total=total)
            return lambda number: bar.advance(task, number)

        yield begin


def _show(report: Report, revision: str, *, as_json: bool, dry_run: bool) -> None:
    found = report.as_json()
    if as_json:
        put_json(json.dumps({"revision": revision, "dry_run": dry_run, **found}))
        return
    tables = found["tables"]
    rows = ((name, *(str(counts[column]) for column in COUNTS)) for name, counts in tables.items())
    could = ("found", "could be taken", "here already", "left out", "changed")
    did = ("found", "taken", "here already", "left out", "changed")
    console().print(table(("table", *(could if dry_run else did)), rows))
    for heading, notes in (("left out", found["skipped"]), ("changed", found["changed"])):
        for note in notes[:MOST_SHOWN]:
            say(f"{heading}: {note['table']} {note['id']}: {note['reason']}")
        if len(notes) > MOST_SHOWN:
            say(f"{heading}: {len(notes) - MOST_SHOWN} more; --json lists them")
