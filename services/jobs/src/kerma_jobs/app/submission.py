"""Submission of a job: check, reserve, convert, store the input, then append.

Out: JobSubmitted and JobStarted in one commit. A failure before the append leaves nothing behind
except unreferenced blobs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from kerma_common.blobs.store import BlobStore
from kerma_common.commands.bus import CommandBus
from kerma_common.commands.context import CommandContext
from kerma_common.contracts.events.jobs import BatchPlan
from kerma_common.contracts.ids import job_id
from kerma_common.contracts.refs import Ref
from kerma_common.contracts.subjects import job_subject
from kerma_common.errors import WRONG_DATA, InvalidRequest, KeyReused
from kerma_common.http.body.json_body import Unparsed
from kerma_common.http.idempotency import RequestKey
from kerma_engines.adapter.packing import INPUT_MEDIA
from kerma_jobs.app.batch_options import BatchOptions, parse_batch_options
from kerma_jobs.app.ports import (
    Admission,
    Clusters,
    Converted,
    Converter,
    Keys,
    Offers,
    RegisteredCluster,
)
from kerma_jobs.domain.commands import SubmitJob
from kerma_jobs.domain.job import JOB
from kerma_jobs.domain.offers import Choice, choose
from kerma_jobs.domain.quotas import Quotas, quotas_of
from kerma_jobs.domain.state import BATCH

MAX_TASKS = 10_000
JOB_BINS = 4 * 10**9
"""Bins of all scorers times tasks of a job: 64 GB of Geant4's outputs."""
JOB_BYTES = 80 << 30
"""Bytes of the outputs and logs of all tasks of a job."""

BODY_KEYS = (
    "sim_type",
    "ntasks",
    "input_type",
    "title",
    "wait_for_engine",
    "input_json",
    "input_files",
    "batch_options",
)
"""Keys of the body of ``POST /jobs/direct``; others are ignored."""
NATIVE_KEYS = ("engine", "tasks", "title", "wait_for_engine", "project", "files", "cluster")
"""Keys of the body of ``POST /v1/jobs``; others are refused."""
MAX_TITLE = 500
MAX_ATTEMPTS = 3
REUSED = "This Idempotency-Key was used for another request; use a new one"
DIRECT = "DIRECT"
NO_CLUSTER = "No cluster is registered; an operator registers one with: kerma admin add-cluster NAME --host HOST"
ANY_CLUSTER = "default"
"""In place of a cluster's name: the only one that is registered, unless one has this name."""
PROJECT_MEDIA = "application/json"


@dataclass(frozen=True, slots=True)
class Submission:
    """A checked request body. Editor jobs have ``project``, the others ``files``, as JSON."""

    sim_type: str
    n_tasks: int
    title: str
    project: bytes | None
    files: bytes | None
    wait_for_engine: bool = False
    batch: BatchOptions | None = None


def parse_batch_submission(body: Mapping[str, Any]) -> Submission:
    """Parse the body of a submission to a cluster. Raises InvalidRequest."""
    return replace(parse_submission(body), batch=parse_batch_options(body))


def parse_submission(body: Mapping[str, Any]) -> Submission:
    """Parse the request body, of which large values are unparsed.

    Raises InvalidRequest naming every invalid key.
    """
    faults: dict[str, list[str]] = {}
    missing = [key for key in ("sim_type", "ntasks", "input_type") if key not in body]
    if missing:
        raise InvalidRequest(
            f"Missing keys in JSON payload: {', '.join(missing)}",
            {key: ["Missing data for required field."] for key in missing},
        )
    sim_type = body["sim_type"]
    if not isinstance(sim_type, str) or not sim_type:
        faults["sim_type"] = ["Not a valid string."]
    _check_tasks(body["ntasks"], faults)
    title = body.get("title", "")
    if not isinstance(title, str) or len(title) > MAX_TITLE or "\x00" in title:
        faults["title"] = [f"Not a string of at most {MAX_TITLE} characters."]
    wait = body.get("wait_for_engine", False)
    if not isinstance(wait, bool):
        faults["wait_for_engine"] = ["Not a valid boolean."]
    project, files = _check_input(body, faults)
    if faults:
        raise InvalidRequest(WRONG_DATA, faults)
    return Submission(sim_type.lower(), body["ntasks"], title, project, files, wait)


def _check_tasks(n_tasks: object, faults: dict[str, list[str]]) -> None:
    if not isinstance(n_tasks, int) or isinstance(n_tasks, bool):
        faults["ntasks"] = ["Not a valid integer."]
    elif not 1 <= n_tasks <= MAX_TASKS:
        faults["ntasks"] = [f"Must be between 1 and {MAX_TASKS}."]


def _check_input(
    body: Mapping[str, Any], faults: dict[str, list[str]]
) -> tuple[bytes | None, bytes | None]:
    match body["input_type"]:
        case "editor":
            project = _object(body.get("input_json"))
            if project is None:
                faults["input_json"] = ["Must be the editor project, an object."]
            return project, None
        case "files":
            files = _object(body.get("input_files"))
            if files is None:
                faults["input_files"] = ["Must be an object of file names and their text."]
            return None, files
        case _:
            faults["input_type"] = ["Must be one of: editor, files."]
            return None, None


def _object(value: object) -> bytes | None:
    """Return a JSON object that is not empty as bytes, or None."""
    if isinstance(value, Unparsed):
        return value.json if value.type is dict else None
    return orjson.dumps(value) if isinstance(value, dict) and value else None


@dataclass(frozen=True, slots=True)
class Submitter:
    """Accepts jobs.

    ``known`` are the engines that this release can convert for, whether offered or not.
    """

    bus: CommandBus
    blobs: BlobStore
    converter: Converter
    clock: Callable[[], datetime]
    new_id: Callable[[], UUID]
    known: Sequence[str]
    workers: Offers
    admission: Admission
    keys: Keys
    clusters: Clusters
    quotas: Mapping[str, Quotas] = field(default_factory=dict)
    job_bins: int = JOB_BINS
    job_bytes: int = JOB_BYTES

    async def submit(
        self,
        submission: Submission,
        *,
        owner: str,
        request_id: str,
        roles: Collection[str] = (),
        key: RequestKey | None = None,
    ) -> tuple[str, int]:
        """Submit a job; return its id and the sequence of its commit.

        A repetition with the same ``key`` returns the job of the first request, if that exists, and
        else submits it under the same id. Raises QuotaExceeded, InvalidRequest and KeyReused.
        """
        platform = DIRECT if submission.batch is None else BATCH
        job: str = job_id(self.clock(), self.new_id(), platform)
        claimed = job if key is None else await self._claimed(owner, key, job)
        if claimed != job:
            _, seq = await self.bus.state(JOB, job_subject(claimed))
            if seq:
                return claimed, seq
            job = claimed
        cluster = None if submission.batch is None else await self._cluster(submission.batch)
        choice = await self._choose(submission)
        async with self.admission.reserved(
            job,
            owner,
            quotas_of(roles, self.quotas),
            tasks=submission.n_tasks,
            size=len(submission.project or submission.files or b""),
            again=key is not None,
        ):
            return job, await self._accept(submission, choice, cluster, job, owner, request_id)

    async def _claimed(self, owner: str, key: RequestKey, job: str) -> str:
        """Return the id of the job that a key stands for. Raises KeyReused."""
        claim = await self.keys.claim(owner, key, job)
        if claim.digest != key.digest:
            raise KeyReused(REUSED)
        return claim.job_id

    async def _accept(
        self,
        submission: Submission,
        choice: Choice,
        cluster: RegisteredCluster | None,
        job: str,
        owner: str,
        request_id: str,
    ) -> int:
        """Convert, store and append; return the sequence of the commit."""
        converted = await self._convert(submission, choice.engine, owner)
        check_bins(converted.bins, submission.n_tasks, self.job_bins)
        input_ref, project_ref, batch = await asyncio.gather(
            self.blobs.put(converted.inputs, media=INPUT_MEDIA),
            self._keep(submission.project),
            self._plan(submission.batch, cluster),
        )
        command = SubmitJob(
            job_id=job,
            owner=owner,
            title=submission.title,
            platform=DIRECT if batch is None else BATCH,
            sim_type=submission.sim_type,
            engine=converted.engine,
            engine_version=choice.version,
            input_kind="EDITOR" if project_ref else "FILES",
            input_ref=input_ref,
            project_ref=project_ref,
            primaries=converted.primaries,
            n_tasks=min(submission.n_tasks, converted.primaries),
            max_attempts=MAX_ATTEMPTS,
            allow_partial=True,
            wait_for_engine=submission.wait_for_engine,
            byte_limit=self.job_bytes,
            batch=batch,
        )
        context = CommandContext(f"user:{owner}", (owner, request_id), request_id, self.clock())
        done = await self.bus.execute(JOB, job_subject(job), command, context, fresh=True)
        return done.seq

    async def _keep(self, project: bytes | None) -> Ref | None:
        return None if project is None else await self.blobs.put(project, media=PROJECT_MEDIA)

    async def _plan(
        self, options: BatchOptions | None, cluster: RegisteredCluster | None
    ) -> BatchPlan | None:
        if options is None or cluster is None:
            return None
        ref = await self.blobs.put(options.encoded(), media=PROJECT_MEDIA)
        return BatchPlan(cluster.cluster, cluster.name, ref)

    async def _cluster(self, options: BatchOptions) -> RegisteredCluster:
        """Return the cluster that takes the job. Raises InvalidRequest if none does."""
        registered = await self.clusters.registered()
        if not registered:
            raise InvalidRequest(NO_CLUSTER)
        return chosen_cluster(options, registered)

    async def _choose(self, submission: Submission) -> Choice:
        """Return the engine that runs the job. Raises InvalidRequest when none does."""
        asked = submission.sim_type
        if asked not in self.known:
            raise _refused(f"Unknown engine; must be one of: {', '.join(sorted(self.known))}.")
        if submission.batch is not None:  # the cluster has engines of its own
            return Choice(asked, "")
        offers = await self.workers.offers()
        choice = choose(asked, offers, editor=submission.project is not None)
        if choice is not None:
            return choice
        if submission.wait_for_engine:
            return Choice(asked, "")
        there = ", ".join(sorted({name for offer in offers for name in offer.engines}))
        raise _refused(
            f"No worker offers {asked} now; offered: {there or 'nothing'}. "
            "With wait_for_engine true the job waits for one."
        )

    async def _convert(self, submission: Submission, engine: str, user: str) -> Converted:
        asked = submission.sim_type if engine != submission.sim_type else ""
        if submission.project is not None:
            return await self.converter.from_project(
                engine, submission.project, user=user, stands_in_for=asked
            )
        return await self.converter.from_files(
            engine, submission.files or b"{}", user=user, stands_in_for=asked
        )


def chosen_cluster(
    options: BatchOptions, registered: Sequence[RegisteredCluster]
) -> RegisteredCluster:
    """Return the cluster that options ask for. Raises InvalidRequest if that is none."""
    for found in registered:
        if found.name == options.cluster_name:
            return found
    asked_for_any = options.cluster_name == ANY_CLUSTER
    if not options.exact or (asked_for_any and len(registered) == 1):
        return registered[0]
    names = ", ".join(sorted({found.name for found in registered}))
    which = "Several clusters are registered" if asked_for_any else "Unknown cluster"
    raise InvalidRequest(WRONG_DATA, {"cluster": [f"{which}; must be one of: {names}."]})


def check_bins(bins: int, n_tasks: int, most: int) -> None:
    """Raise InvalidRequest for a job that scores more than ``most`` bins in all its tasks."""
    if bins * n_tasks > most:
        reason = (
            f"{bins} bins of all scorers in {n_tasks} tasks are more than {most}, "
            "the limit KERMA_JOBS_JOB_BINS."
        )
        raise InvalidRequest(WRONG_DATA, {"ntasks": [reason]})


def _refused(reason: str) -> InvalidRequest:
    return InvalidRequest(WRONG_DATA, {"sim_type": [reason]})
