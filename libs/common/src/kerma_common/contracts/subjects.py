"""The only place that builds a subject.

``ev.<context>.<aggregate>.<shard>.<id>``: an exact subject identifies an aggregate, because the
server checks expected sequences against exact subjects. Shards never change; all aggregates of one
job have the same shard in every stream.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

SHARDS = 64
STREAMS = {
    "auth": "AUTH",
    "jobs": "JOBS",
    "runner": "RUNNER",
    "batch": "BATCH",
    "results": "RESULTS",
}
_TOKEN = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


@lru_cache(maxsize=4096)
def shard_of(key: str) -> str:
    """Return the shard, two hex digits 00..3f, of a job id (or, in auth, a user id)."""
    return f"{hashlib.sha256(key.encode()).digest()[0] % SHARDS:02x}"


@dataclass(frozen=True, slots=True)
class Subject:
    """Address of one aggregate. ``key`` decides the shard: the job id, or the user id in auth."""

    context: str
    aggregate: str
    id: str
    key: str

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.id):
            raise ValueError(f"{self.id!r} cannot be part of a subject")

    @property
    def stream(self) -> str:
        """Name of the stream that holds this aggregate."""
        return STREAMS[self.context]

    def __str__(self) -> str:
        return f"ev.{self.context}.{self.aggregate}.{shard_of(self.key)}.{self.id}"


def first_of_id(subject: str) -> str:
    """First token of the id in an aggregate's subject: for all aggregates of a job, the job."""
    return subject.split(".", 5)[4]


def stream_subjects(context: str) -> str:
    """Return all subjects of a context, as the stream's filter."""
    return f"ev.{context}.>"


def job_subject(job_id: str) -> Subject:
    """Return the subject of a job in the jobs service."""
    return Subject("jobs", "job", job_id, job_id)


def owner_subject(user_id: str) -> Subject:
    """Return the subject of a user as the owner of jobs, in the jobs service."""
    return Subject("jobs", "owner", user_id, user_id)


def task_subject(job_id: str, index: int) -> Subject:
    """Return the subject of a task in the runner service."""
    return Subject("runner", "task", f"{job_id}.{index}", job_id)


def task_set_subject(job_id: str) -> Subject:
    """Return the subject of a job's set of tasks in the runner service."""
    return Subject("runner", "task_set", job_id, job_id)


def task_loss_subject(job_id: str) -> Subject:
    """Return the subject of a job's lost tasks in the runner service."""
    return Subject("runner", "task_loss", job_id, job_id)


def tasks_pattern(job_id: str) -> str:
    """Return the pattern of the subjects of all tasks of a job."""
    return f"ev.runner.task.{shard_of(job_id)}.{job_id}.*"


def worker_subject(worker_id: str) -> Subject:
    """Return the subject of a worker in the runner service."""
    return Subject("runner", "worker", worker_id, worker_id)


def result_set_subject(job_id: str) -> Subject:
    """Return the subject of a job's result set in the results service."""
    return Subject("results", "result_set", job_id, job_id)


def job_log_subject(job_id: str) -> Subject:
    """Return the subject of the logs delivered for a job, in the results service."""
    return Subject("results", "job_log", job_id, job_id)


def user_subject(user_id: str) -> Subject:
    """Return the subject of a user in the auth service."""
    return Subject("auth", "user", user_id, user_id)


def account_subject(user_id: str) -> Subject:
    """Return the subject of a user's account in the auth service."""
    return Subject("auth", "account", user_id, user_id)


def api_token_subject(user_id: str, token_id: str) -> Subject:
    """Return the subject of a user's API token in the auth service."""
    return Subject("auth", "api_token", token_id, user_id)


def session_subject(user_id: str, session_id: str) -> Subject:
    """Return the subject of a user's session in the auth service."""
    return Subject("auth", "session", session_id, user_id)


def keyring_subject() -> Subject:
    """Return the subject of the single keyring in the auth service."""
    return Subject("auth", "keyring", "main", "main")


def cluster_subject(cluster: str) -> Subject:
    """Return the subject of a cluster in the batch gateway; ``cluster`` is its id, not its host."""
    return Subject("batch", "cluster", cluster, cluster)


def job_patterns(job_id: str) -> tuple[tuple[str, str], ...]:
    """Return (stream, pattern) pairs that together match every aggregate of a job."""
    shard = shard_of(job_id)
    return tuple(
        (STREAMS[context], f"ev.{context}.*.{shard}.{job_id}{rest}")
        for context in ("jobs", "runner", "batch", "results")
        for rest in ("", ".>")
    )
