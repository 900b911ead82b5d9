"""``kerma admin``: update keys and input of jobs for a cluster."""

from __future__ import annotations

import asyncio
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from kerma_client.commands import listing
from kerma_client.commands.options import DEFAULT_DATA, AsJson, Data
from kerma_client.local import use_settings


class Allowed(Enum):
    """What an update key allows."""

    TASKS = "tasks"
    JOB = "job"
    RESULTS = "results"
    LOGS = "logs"


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("update-key")(update_key)
    app.command("revoke-update-keys")(revoke_update_keys)
    app.command("batch-input")(batch_input)


def update_key(
    job: str,
    only: Annotated[
        list[Allowed] | None, typer.Option("--only", help="What the key allows; default all.")
    ] = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Print the number of a job for a cluster, and a key by which scripts there report on it."""
    from kerma_allinone.admin import batch_jobs

    use_settings(data)
    issued = asyncio.run(batch_jobs.issue_key(job, [allowed.value for allowed in only or ()]))
    shown = {
        "simulation_id": issued.simulation_id,
        "update_key": issued.key,
        "expires_at": issued.expires.isoformat(),
    }
    sentence = "\n".join(f"{name}: {value}" for name, value in shown.items())
    listing.done(sentence, as_json=as_json, **shown)


def revoke_update_keys(job: str, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Void all update keys of a job that were issued until now."""
    from kerma_allinone.admin import batch_jobs

    use_settings(data)
    asyncio.run(batch_jobs.revoke_keys(job))
    listing.done(f"the update keys of {job} are void", as_json=as_json, id=job, revoked=True)


def batch_input(job: str, folder: Path, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Write the input of each task of a job for a cluster into a new folder, ready to run."""
    from kerma_allinone.admin import batch_jobs

    use_settings(data)
    number = asyncio.run(batch_jobs.input_of(job)).write(folder)
    listing.done(
        f"{folder} holds the input of {number} tasks, and batch.json",
        as_json=as_json,
        id=job,
        folder=str(folder),
        tasks=number,
    )
