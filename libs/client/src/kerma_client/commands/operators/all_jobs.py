"""``kerma admin jobs`` and ``tasks``: jobs of all users."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from kerma_client.commands import listing
from kerma_client.commands.options import DEFAULT_DATA, AsJson, Data
from kerma_client.local import use_settings

jobs = typer.Typer(help="Jobs of all users: list, show, cancel, remove.")
tasks = typer.Typer(help="Tasks of a job.")
Job = Annotated[str, typer.Argument(help="The job's id.")]
LINE = (
    "id",
    "user_id",
    "title",
    "state",
    "engine",
    "tasks",
    "submitted_at",
    "ended_at",
    "origin",
)
OF = {"id": "job_id", "user_id": "owner", "tasks": "n_tasks"}
TASK = ("number", "state", "requested", "simulated", "started_at", "ended_at", "updated_at")


@jobs.command("list")
def list_jobs(
    user: Annotated[str, typer.Option(help="Only jobs of this user, by name or id.")] = "",
    state: Annotated[str, typer.Option(help="Only jobs in this state, such as RUNNING.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Most jobs to show.")] = 100,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Show the newest jobs of all users."""
    from kerma_allinone.admin import jobs as admin
    from kerma_allinone.admin import users

    async def found() -> list[dict[str, Any]]:
        owner = await users.id_of(user) if user else None
        lines = listing.attributes(LINE, await admin.listed(limit, owner, state or None), **OF)
        names = await users.names([line["user_id"] for line in lines])
        return [{**line, "username": names.get(line["user_id"], "")} for line in lines]

    use_settings(data)
    columns = {
        "id": "job",
        "username": "user",
        "state": "state",
        "engine": "engine",
        "tasks": "tasks",
        "submitted_at": "submitted",
        "ended_at": "ended",
        "title": "title",
    }
    listing.rows(columns, asyncio.run(found()), as_json=as_json)


@jobs.command("show")
def show_job(job: Job, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Show everything that the list says of a job."""
    from kerma_allinone.admin import jobs as admin

    use_settings(data)
    (line,) = listing.attributes(LINE, [asyncio.run(admin.shown(job)).job], **OF)
    if as_json:
        listing.done("", as_json=True, **line)
        return
    facts = [{"name": name, "value": value} for name, value in line.items()]
    listing.rows({"name": "", "value": ""}, facts, as_json=False)


@jobs.command("cancel")
def cancel_job(job: Job, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Stop a job; nothing happens to one that has ended."""
    from kerma_allinone.admin import jobs as admin

    use_settings(data)
    stopped = asyncio.run(admin.cancel(job))
    sentence = f"{job} is cancelled" if stopped else f"{job} had ended"
    listing.done(sentence, as_json=as_json, id=job, canceled=stopped)


@jobs.command("remove")
def remove_job(job: Job, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Delete a job and everything that belongs to it, after cancelling it if it has not ended."""
    from kerma_allinone.admin import jobs as admin

    use_settings(data)
    asyncio.run(admin.remove(job))
    listing.done(f"{job} is removed", as_json=as_json, id=job, removed=True)


@tasks.command("list")
def list_tasks(job: Job, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Show the tasks of a job. They end with the job: `kerma admin jobs cancel`."""
    from kerma_allinone.admin import jobs as admin

    use_settings(data)
    columns = {name: name.removesuffix("_at") for name in TASK} | {"number": "task"}
    found = listing.attributes(TASK, asyncio.run(admin.shown(job)).tasks, number="index")
    listing.rows(columns, found, as_json=as_json)
