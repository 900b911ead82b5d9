"""A submission that is repeated with its Idempotency-Key is one job, whatever happened before."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
import pytest_asyncio

from kerma_common.contracts.ids import job_id
from kerma_common.contracts.subjects import job_subject
from kerma_common.errors import OutcomeUnknown, TooManyRequests
from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.faults import FaultPoint
from kerma_common.http.idempotency import RequestKey
from kerma_jobs.adapters.request_keys import RequestKeys
from kerma_jobs.domain.quotas import Quotas
from kerma_jobs.settings import JobsSettings
from kit.inputs.projects import submission
from kit.running.worlds.jobs_world import Replica, leave, offer, two_replicas

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROGRAM = Path(__file__).parents[3] / "kit/programs/one_submission.py"


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("blobs")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def replicas(
    nats_url: str, postgres_url: str, blobs: Path
) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two instances of the service; only the first one projects."""
    few = JobsSettings(quotas={"default": Quotas(submissions_per_minute=20)})
    where = {"nats_url": nats_url, "postgres_url": postgres_url}
    async with two_replicas(few, **where, blobs=blobs) as both:
        yield both


def new_user() -> str:
    return f"u{uuid4().hex[:8]}"


async def submit(
    replica: Replica, user: str, key: str | None, body: dict[str, Any] | None = None
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {user}"}
    headers |= {} if key is None else {"Idempotency-Key": key}
    return await replica[0].post("/jobs/direct", json=body or submission(), headers=headers)


async def submitted(replica: Replica, user: str) -> list[str]:
    """Return the ids of all jobs of a user, according to the log."""
    found: list[str] = []
    async with replica[1].log.follow("JOBS", 0) as batches:
        last = (await replica[1].nats.jetstream().stream_info("JOBS")).state.last_seq
        if not last:
            return found
        async for batch in batches:
            for record in batch:
                found += [
                    event.data["job_id"]
                    for event in record.commit.events
                    if event.type == "JobSubmitted" and event.data["owner"] == user
                ]
            if batch and batch[-1].seq >= last:
                return found
    raise AssertionError


async def test_a_repetition_is_the_first_job_again_at_any_replica(
    replicas: tuple[Replica, Replica],
) -> None:
    user = new_user()
    first = await submit(replicas[0], user, "key-1")
    assert first.status_code == 202
    job = first.json()["job_id"]
    for replica in (*replicas, *replicas):
        again = await submit(replica, user, "key-1")
        assert (again.status_code, again.json()) == (202, first.json())
        shown = await replica[0].get(
            "/jobs", params={"job_id": job}, headers={"Authorization": f"Bearer {user}"}
        )
        assert shown.status_code == 200
    other = await submit(replicas[0], user, "key-2")
    without = await submit(replicas[0], user, None)
    stranger = await submit(replicas[1], stranger_name := new_user(), "key-1")
    ids = {answer.json()["job_id"] for answer in (first, other, without, stranger)}
    assert len(ids) == 4
    assert len(await submitted(replicas[0], user)) == 3
    assert len(await submitted(replicas[0], stranger_name)) == 1


async def test_repetitions_at_the_same_time_are_one_job(
    replicas: tuple[Replica, Replica],
) -> None:
    user = new_user()
    answers = await asyncio.gather(
        *(submit(replicas[number % 2], user, "at-once") for number in range(12))
    )
    assert Counter(answer.status_code for answer in answers) == {202: 12}
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert len(await submitted(replicas[0], user)) == 1
    headers = {"Authorization": f"Bearer {user}"}
    listed = (await replicas[0][0].get("/user/simulations", headers=headers)).json()
    assert listed["simulations_count"] == 1


async def test_another_body_with_the_same_key_is_refused(
    replicas: tuple[Replica, Replica],
) -> None:
    user = new_user()
    assert (await submit(replicas[0], user, "k")).status_code == 202
    for body in (submission(2000), submission(title="x"), {**submission(), "unknown": 1}):
        other = await submit(replicas[1], user, "k", body)
        assert other.status_code == 422
        assert "Idempotency-Key" in other.json()["message"]
    assert len(await submitted(replicas[0], user)) == 1


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "k" * 129, "a\tb"])
async def test_a_key_has_a_grammar(replicas: tuple[Replica, Replica], key: str) -> None:
    headers = {"Authorization": f"Bearer {new_user()}", "Idempotency-Key": key.encode()}
    answer = await replicas[0][0].post(
        "/jobs/direct",
        json=submission(),
        headers=headers,  # type: ignore[arg-type]
    )
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["message"]
    twice = [("Authorization", "Bearer u"), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = await replicas[0][0].post("/jobs/direct", json=submission(), headers=twice)
    assert answer.status_code == 400


async def test_a_refused_submission_can_be_repeated_and_each_try_counts(
    replicas: tuple[Replica, Replica],
) -> None:
    user, broken = new_user(), submission()
    del broken["input_json"]["beam"]
    answers = [await submit(replicas[0], user, "broken", broken) for _ in range(21)]
    assert Counter(answer.status_code for answer in answers) == {400: 20, 429: 1}
    assert await submitted(replicas[0], user) == []


async def test_a_repetition_needs_no_worker(replicas: tuple[Replica, Replica]) -> None:
    user = new_user()
    job = (await submit(replicas[0], user, "k")).json()["job_id"]
    await leave(replicas[0][1], "first")
    try:
        again = await submit(replicas[0], user, "k")
        assert (again.status_code, again.json()["job_id"]) == (202, job)
        assert (await submit(replicas[0], user, "new")).status_code == 400
    finally:
        await offer(replicas[0][1], "second", "geant4")
    # the key of the refused one is free for the same request
    assert (await submit(replicas[0], user, "new")).status_code == 202


async def test_a_lost_answer_of_the_log_is_found_again(
    replicas: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    user, append = new_user(), JetStreamLog.append

    async def lost(*arguments: Any) -> Any:
        await append(*arguments)
        raise OutcomeUnknown("the acknowledgement is lost")

    monkeypatch.setattr(JetStreamLog, "append", lost)
    assert (await submit(replicas[0], user, "k")).status_code == 503
    monkeypatch.setattr(JetStreamLog, "append", append)
    again = await submit(replicas[1], user, "k")
    assert again.status_code == 202
    assert await submitted(replicas[0], user) == [again.json()["job_id"]]


@pytest.mark.parametrize(
    ("point", "stored"),
    [(FaultPoint.BEFORE_APPEND, 0), (FaultPoint.AFTER_APPEND_BEFORE_ANSWER, 1)],
)
async def test_a_process_that_dies_around_the_append_leaves_one_job(
    replicas: tuple[Replica, Replica],
    nats_url: str,
    postgres_url: str,
    blobs: Path,
    point: FaultPoint,
    stored: int,
) -> None:
    user = new_user()
    environment = {
        **os.environ,
        "KERMA_FAULT_POINT": point.value,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROGRAM),
        *(nats_url, postgres_url, str(blobs), user, "of-the-dead"),
        env=environment,
    )
    assert await child.wait() == -signal.SIGKILL
    before = await submitted(replicas[0], user)
    assert len(before) == stored
    again = await submit(replicas[1], user, "of-the-dead")
    assert again.status_code == 202
    job = again.json()["job_id"]
    assert await submitted(replicas[0], user) == [job]
    assert before in ([], [job])
    assert len(await replicas[0][1].log.load(job_subject(job))) == 1


async def test_keys_are_forgotten_after_their_time_and_bounded_per_user(
    replicas: tuple[Replica, Replica], postgres_url: str
) -> None:
    infra = replicas[0][1]
    keys = RequestKeys(infra.writers, "jobs", 24.0, 3)
    user = new_user()

    def job() -> str:
        return job_id(infra.clock(), uuid4(), "DIRECT")

    first = await keys.claim(user, RequestKey("a", "d"), job())
    for name in ("b", "c"):
        await keys.claim(user, RequestKey(name, "d"), job())
    with pytest.raises(TooManyRequests):
        await keys.claim(user, RequestKey("d", "d"), job())
    assert await keys.claim(user, RequestKey("a", "other"), job()) == first
    await keys.claim(new_user(), RequestKey("d", "d"), job())
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as other:
        aged = (
            "UPDATE jobs_process.request_key SET at = at - interval '%s minutes' WHERE owner = %s"
        )
        await other.execute(aged.replace("%s m", "1439 m"), (user,))
        assert await keys.claim(user, RequestKey("a", "d"), job()) == first
        await other.execute(aged.replace("%s m", "2 m"), (user,))
    later = job()
    assert (await keys.claim(user, RequestKey("a", "new"), later)).job_id == later
    await keys.claim(user, RequestKey("d", "d"), job())
