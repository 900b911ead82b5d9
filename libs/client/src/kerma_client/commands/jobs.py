"""Commands for jobs on a running Kerma: run, submit, jobs, results, cancel, story."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kerma_client import terminal
from kerma_client.commands.options import DEFAULT_DATA, Data
from kerma_client.local import connect, use_settings
from kerma_client.submission import notes_of, submit_body

if TYPE_CHECKING:
    from kerma_client.api.models import JobEntry


Project = Annotated[Path, typer.Argument(help="Editor project, or a directory of input files.")]
Tasks = Annotated[int, typer.Option(min=1, help="Tasks to split the job into.")]
Primaries = Annotated[
    int | None,
    typer.Option(min=1, help="Primaries of the whole job, instead of the project's."),
]
Engine = Annotated[str, typer.Option(help="Engine to run.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for a worker if none offers the engine.")]


def run(
    project: Project,
    tasks: Tasks = 8,
    primaries: Primaries = None,
    engine: Engine = "geant4",
    wait: Wait = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Submit a project and follow it until it ends."""
    from kerma_client.estimators import print_estimators, results_body
    from kerma_client.follow import follow

    body = _body(project, tasks, primaries, engine)
    body["wait_for_engine"] = wait
    console = terminal.console()
    with connect(data) as client:
        job_id = client.submit(body)
        terminal.say(f"job {job_id}")
        last = follow(client.follow(job_id), console)
        if last.state != "COMPLETED":
            terminal.warn(f"kerma: the job ended {last.state}: {last.message}")
            for name in sorted(client.logs(job_id)):
                terminal.warn(f"  log: {name}")
            raise typer.Exit(1)
        print_estimators(results_body(client.results(job_id)), console)


def submit(
    project: Project,
    tasks: Tasks = 8,
    primaries: Primaries = None,
    engine: Engine = "geant4",
    wait: Wait = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the id as JSON.")] = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Submit a project and print the id of its job."""
    body = _body(project, tasks, primaries, engine)
    body["wait_for_engine"] = wait
    with connect(data) as client:
        job_id = client.submit(body)
    if as_json:
        terminal.put_json(json.dumps({"id": job_id}))
    else:
        terminal.say(terminal.one_line(job_id))


def _body(project: Path, tasks: int, primaries: int | None, engine: str) -> dict[str, Any]:
    """Return what is submitted; print what the engine notes about it."""
    body = submit_body(project, tasks=tasks, primaries=primaries, engine=engine)
    for note in notes_of(body):
        terminal.warn(f"note: {note}")
    return body


def jobs(
    page: Annotated[int, typer.Option(min=1)] = 1,
    size: Annotated[int, typer.Option(min=1, max=100)] = 20,
    data: Data = DEFAULT_DATA,
) -> None:
    """List your jobs, newest first."""
    with connect(data) as client:
        found = client.jobs_page(limit=size, total=True)
        for _ in range(page - 1):
            if found.next is None:
                found = replace(found, items=())
                break
            found = client.jobs_page(limit=size, total=True, cursor=found.next)
    for job in found.items:
        details = (f"{job.submitted_at.astimezone():%Y-%m-%d %H:%M}", _engine(job), job.title)
        # a job id takes most of a terminal's line
        line = terminal.one_line(f"{job.state:<15} {'  '.join(details)}")
        terminal.say(f"{line}\n    {job.id}")
    total = found.total or 0
    pages = max(1, -(-total // size))
    terminal.say(f"page {page} of {pages}, {total} jobs")


def results(
    job: Annotated[str, typer.Argument(help="Job id.")],
    plot: Annotated[Path | None, typer.Option(help="Draw the first page to this PNG.")] = None,
    estimator: Annotated[str, typer.Option(help="Estimator to draw; default the first.")] = "",
    page: Annotated[int, typer.Option(help="Page number to draw.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result body.")] = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Show or draw the results of a job."""
    from kerma_client.estimators import print_estimators, results_body

    with connect(data) as client:
        found = client.results(job)
    if not found:
        terminal.fail("the job has no results")
    body = results_body(found)
    if plot is not None:
        from kerma_client.plots import draw_page

        name, drawn = _page(body, estimator, page)
        try:
            draw_page(drawn, plot, f"{name}: {drawn['data']['name']}")
        except (ValueError, OSError) as error:
            terminal.fail(str(error))
        terminal.say(f"wrote {plot}")
    elif as_json:
        terminal.put_json(json.dumps(body))
    else:
        print_estimators(body, terminal.console())


def cancel(
    job: Annotated[str, typer.Argument(help="Job id.")],
    data: Data = DEFAULT_DATA,
) -> None:
    """Stop a job."""
    with connect(data) as client:
        state = client.cancel(job)
    canceled = "Job canceled" if state == "CANCELED" else f"The job has ended before: {state}"
    terminal.say(canceled)


def story(
    job: Annotated[str, typer.Argument(help="Job id.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per event.")] = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Print every event of a job from all streams, causes before effects."""
    from kerma_allinone.admin.story import tell

    use_settings(data)
    for line in asyncio.run(tell(job, as_json=as_json)):
        if as_json:
            terminal.put_json(line)
        else:
            terminal.say(terminal.one_line(line))


def _engine(job: JobEntry) -> str:
    """Name the engine asked for, and the one that runs the job in place of it."""
    asked = job.engine_asked_for
    return asked if job.engine == asked else f"{asked} (by {job.engine})"


def _page(body: dict[str, Any], estimator: str, number: int) -> tuple[str, dict[str, Any]]:
    for found in body["estimators"]:
        if estimator in ("", found["name"]):
            for page in found["pages"]:
                if page["metadata"]["page_number"] == str(number):
                    return found["name"], page
    raise typer.BadParameter(f"there is no page {number} of estimator {estimator or 'any'}")
