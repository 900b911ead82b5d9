"""Operators' actions on jobs for a cluster, while scripts there are started by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson

from kerma_allinone.admin.system import ACTOR, open_service
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.events.jobs import BatchPlan, JobSubmitted
from kerma_common.contracts.ids import SEED_RULE, UNKNOWN_JOB, split_primaries, task_seed
from kerma_common.contracts.subjects import job_subject
from kerma_common.errors import InvalidRequest, NotFound
from kerma_common.security.update_keys import Verb, load_update_keys
from kerma_engines.adapter.packing import decode_inputs
from kerma_engines.catalogue.registry import engine
from kerma_jobs.domain.commands import RevokeUpdateKeys
from kerma_jobs.domain.job import JOB

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from kerma_common.infra import Infra
    from kerma_engines.adapter.port import InputSet

NOT_BATCH = "Kerma's own workers run this job; scripts cannot report on it"


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key that was issued, and the number of its job in reports."""

    simulation_id: int
    key: str
    expires: datetime


async def issue_key(job: str, only: Collection[str] = ()) -> IssuedKey:
    """Issue an update key of a job, for all verbs unless some are named.

    Raises NotFound, InvalidRequest for a job that workers run, and Unavailable without a secret.
    """
    async with open_service("jobs") as infra:
        _, _, number = await _submitted(infra, job)
        keys = load_update_keys(infra.clock)
        key, expires = keys.issue(job, number, frozenset(map(Verb, only or Verb)))
    return IssuedKey(number, key, expires)


async def revoke_keys(job: str) -> None:
    """Void all update keys of a job that were issued until now. Raises NotFound."""
    async with open_service("jobs") as infra:
        await _submitted(infra, job)
        now, cause = infra.clock(), str(uuid4())
        context = CommandContext(ACTOR, (ACTOR, cause), cause, now)
        await infra.bus.execute(JOB, job_subject(job), RevokeUpdateKeys(job, ACTOR, now), context)


@dataclass(frozen=True, slots=True)
class JobInput:
    """What a script needs to run a job: its input set, and the options of its arrays."""

    job: JobSubmitted
    plan: BatchPlan
    simulation_id: int
    inputs: InputSet
    options: Mapping[str, Any]

    def write(self, folder: Path) -> int:
        """Write the input of each task and ``batch.json`` into a new folder; return how many tasks.

        Raises InvalidRequest if the folder is there or cannot be made.
        """
        own = engine(self.inputs.engine)
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise InvalidRequest(f"cannot make {folder}: {error.strerror}") from None
        commands = []
        for index, primaries in enumerate(split_primaries(self.job.primaries, self.job.n_tasks)):
            directory = folder / f"task_{index + 1:04d}"
            directory.mkdir()
            seed = task_seed(self.job.job_id, index, SEED_RULE)
            prepared = own.prepare(self.inputs, directory, primaries=primaries, seed=seed)
            commands.append(list(prepared.argv))
        about = {
            "job_id": self.job.job_id,
            "simulation_id": self.simulation_id,
            "cluster_name": self.plan.cluster_name,
            "engine": self.inputs.engine,
            "n_tasks": self.job.n_tasks,
            "commands": commands,
            **self.options,
        }
        (folder / "batch.json").write_bytes(orjson.dumps(about, option=orjson.OPT_INDENT_2))
        return self.job.n_tasks


async def input_of(job: str) -> JobInput:
    """Return the input of a job for a cluster. Raises NotFound and InvalidRequest."""
    async with open_service("jobs") as infra:
        event, plan, number = await _submitted(infra, job)
        inputs = decode_inputs(await infra.blobs.get(event.input_ref))
        options = orjson.loads(await infra.blobs.get(plan.options_ref))
    return JobInput(event, plan, number, inputs, options)


async def _submitted(infra: Infra, job: str) -> tuple[JobSubmitted, BatchPlan, int]:
    """Return the submission of a job for a cluster, its plan, and its number."""
    history = await infra.log.load(job_subject(job))
    if not history:
        raise NotFound(UNKNOWN_JOB)
    event = history[0].commit.events[0].decode()
    if not isinstance(event, JobSubmitted) or event.batch is None:
        raise InvalidRequest(NOT_BATCH)
    return event, event.batch, history[0].seq
