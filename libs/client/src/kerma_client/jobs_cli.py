"""Commands on a running Kerma: run, jobs, results, cancel, story."""

from __future__ import annotations

import asyncio
import json
import sys
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kerma_client import terminal
from kerma_client.local import connect, use_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

Data = Annotated[Path, typer.Option(help="Data directory of the running Kerma.")]
DEFAULT_DATA = Path("kerma-data")


def run(
    project: Annotated[Path, typer.Argument(help="Editor project, or a directory of input files.")],
    tasks: Annotated[int, typer.Option(min=1, help="Tasks to split the job into.")] = 8,
    primaries: Annotated[
        int | None, typer.Option(min=1, help="Primaries of the whole job, over the project's.")
    ] = None,
    engine: Annotated[str, typer.Option(help="Engine to run.")] = "geant4",
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for a worker if none offers the engine.")
    ] = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Submit a project and follow it until it ends."""
    from kerma_client.follow import follow

    body = submit_body(project, tasks=tasks, primaries=primaries, engine=engine)
    body["wait_for_engine"] = wait
    console = terminal.console()
    for note in notes_of(body):
        terminal.warn(f"note: {note}")
    with connect(data) as client:
        job_id = client.submit(body)
        terminal.say(f"job {job_id}")
        last = follow(lambda: client.status(job_id), console)
        if last.state != "COMPLETED":
            terminal.warn(f"kerma: the job ended {last.state}: {last.message}")
            for name in sorted(client.logfiles(job_id)):
                terminal.warn(f"  log: {name}")
            raise typer.Exit(1)
        print_estimators(client.results(job_id), console)


def jobs(
    page: Annotated[int, typer.Option(min=1)] = 1,
    size: Annotated[int, typer.Option(min=1, max=100)] = 20,
    data: Data = DEFAULT_DATA,
) -> None:
    """List your jobs, newest first."""
    with connect(data) as client:
        answer = client.jobs(page=page, size=size)
    for job in answer["simulations"]:
        told = (_local(job["start_time"]), job["metadata"]["sim_type"], job["title"])
        # a job id fills most of a terminal's line
        terminal.say(f"{job['job_state']:<15} {'  '.join(told)}\n    {job['job_id']}")
    pages = max(1, answer["page_count"])
    sys.stdout.write(f"page {page} of {pages}, {answer['simulations_count']} jobs\n")


def results(
    job: Annotated[str, typer.Argument(help="Job id.")],
    plot: Annotated[Path | None, typer.Option(help="Draw the first page to this PNG.")] = None,
    estimator: Annotated[str, typer.Option(help="Estimator to draw; default the first.")] = "",
    page: Annotated[int, typer.Option(help="Page number to draw.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result body.")] = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Show or draw the results of a job."""
    with connect(data) as client:
        body = client.results(job)
    if plot is not None:
        from kerma_client.plots import draw_page

        found = _page(body, estimator, page)
        try:
            draw_page(found[1], plot, f"{found[0]}: {found[1]['data']['name']}")
        except (ValueError, OSError) as error:
            terminal.fail(str(error))
        terminal.say(f"wrote {plot}")
    elif as_json:
        json.dump(body, sys.stdout)
        sys.stdout.write("\n")
    else:
        print_estimators(body, terminal.console())


def cancel(
    job: Annotated[str, typer.Argument(help="Job id.")],
    data: Data = DEFAULT_DATA,
) -> None:
    """Stop a job."""
    with connect(data) as client:
        sys.stdout.write(client.cancel(job) + "\n")


def story(
    job: Annotated[str, typer.Argument(help="Job id.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per event.")] = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Print everything that ever happened to a job, across all streams, in causal order."""
    from kerma_client.story import tell

    use_settings(data)
    asyncio.run(tell(job, as_json=as_json))


def _local(date: str | None) -> str:
    """An HTTP date in the reader's own time."""
    return f"{parsedate_to_datetime(date).astimezone():%Y-%m-%d %H:%M}" if date else ""


def submit_body(project: Path, *, tasks: int, primaries: int | None, engine: str) -> dict[str, Any]:
    """The body of POST /jobs/direct. Raises typer.BadParameter."""
    body: dict[str, Any] = {"sim_type": engine, "ntasks": tasks, "title": project.stem}
    try:
        if project.is_dir():
            files = {p.name: p.read_text() for p in sorted(project.iterdir()) if p.is_file()}
            if primaries is not None:
                raise typer.BadParameter(
                    "--primaries needs a project; edit the input files instead"
                )
            return {**body, "input_type": "files", "input_files": files}
        raw = json.loads(project.read_bytes())
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise typer.BadParameter(f"cannot read {project}: {error}") from None
    editor = _editor_project(raw)
    if editor is None:
        raise typer.BadParameter(f"{project} is not an editor project")
    if primaries is not None:
        beam = editor.get("beam")
        if not isinstance(beam, dict):
            raise typer.BadParameter(f"{project} has no beam")
        editor = {**editor, "beam": {**beam, "numberOfParticles": primaries}}
    return {**body, "input_type": "editor", "input_json": editor}


def _editor_project(raw: Any) -> dict[str, Any] | None:
    """The project of a project file or of a download of results, which holds one."""
    if not isinstance(raw, dict):
        return None
    download = raw.get("input")
    if download is None:
        return raw
    project = download.get("inputJson") if isinstance(download, dict) else None
    return project if isinstance(project, dict) else None


def notes_of(body: dict[str, Any]) -> tuple[str, ...]:
    """What the engine says about a project before it runs; nothing when it refuses it.

    Problems are left to the answer of POST /jobs/direct.
    """
    from kerma_engines.errors import InvalidInput
    from kerma_engines.registry import ENGINE_NAMES, engine

    if body["input_type"] != "editor" or body["sim_type"] not in ENGINE_NAMES:
        return ()
    try:
        inputs = engine(body["sim_type"]).convert(body["input_json"])
    except InvalidInput:
        return ()
    return tuple(inputs.options.get("notes", ()))


def print_estimators(body: dict[str, Any], console: Console) -> None:
    """A table of what was scored, with the largest value and its relative error."""
    headings = ("estimator", "page", "quantity", "bins", "largest", "unit", "± there")
    console.print(terminal.table(headings, _rows(body)))


def _rows(body: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for estimator in body["estimators"]:
        for page in estimator["pages"]:
            data = page["data"]
            values = [v for v in data["values"] if v is not None]
            top = max(values, default=0.0)
            errors = data.get("errors")
            error = errors[data["values"].index(top)] if errors and values else None
            yield (
                estimator["name"],
                str(page["metadata"]["page_number"]),
                data["name"],
                str(len(data["values"])),
                f"{top:.5g}",
                data["unit"],
                f"{100 * error / top:.2f} %" if error is not None and top > 0 else "",
            )


def _page(body: dict[str, Any], estimator: str, number: int) -> tuple[str, dict[str, Any]]:
    for found in body["estimators"]:
        if estimator in ("", found["name"]):
            for page in found["pages"]:
                if page["metadata"]["page_number"] == str(number):
                    return found["name"], page
    raise typer.BadParameter(f"there is no page {number} of estimator {estimator or 'any'}")
