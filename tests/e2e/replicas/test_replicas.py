"""Two replicas of auth and of jobs behind nginx: whichever answers, clients see one Kerma."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import uuid4

import httpx
import pytest

from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.nats import connection
from kit.programs.family import PATIENCE, eventually
from kit.running.clients.follower import following
from kit.running.clients.visitor import NAME, Visitor
from kit.running.doubled import Doubled, waiting

pytestmark = pytest.mark.slow


def served(url: str) -> float:
    """Return how many submissions a replica has answered with 202."""
    shown = httpx.get(f"{url}/internal/metrics").text.splitlines()
    wanted = ('method="POST"', 'route="/jobs/direct"', 'status="202"')
    counts = [
        float(line.split()[-1])
        for line in shown
        if "_seconds_count" in line and all(part in line for part in wanted)
    ]
    return sum(counts)


def test_what_one_replica_accepted_the_other_shows_at_once(
    doubled: Doubled, visitor: Visitor
) -> None:
    first, second = (
        httpx.Client(base_url=url, cookies=dict(visitor.http.cookies), timeout=PATIENCE)
        for url in doubled.replicas("jobs")
    )
    with first, second:
        slowest = 0.0
        for number in range(30):
            writer, reader = (first, second) if number % 2 else (second, first)
            accepted = writer.post("/jobs/direct", json=waiting())
            began = time.perf_counter()
            job = accepted.json()["job_id"]
            assert accepted.headers["kerma-position"].startswith("JOBS=")
            for path in ("/jobs", "/jobs/direct", "/inputs"):
                assert reader.get(path, params={"job_id": job}).status_code == 200
            listed = reader.get("/user/simulations", params={"page_size": 1}).json()
            assert listed["simulations"][0]["job_id"] == job
            slowest = max(slowest, time.perf_counter() - began)
            reader.delete("/jobs/direct", params={"job_id": job})
            state = writer.get("/jobs", params={"job_id": job}).json()["job_state"]
            assert state == "CANCELED"
        print(f"four reads at the other replica: {slowest * 1e3:.0f} ms at most")


def test_both_replicas_answer_behind_nginx(doubled: Doubled, visitor: Visitor) -> None:
    before = [served(url) for url in doubled.replicas("jobs")]
    jobs = [visitor.submit(waiting()) for _ in range(10)]
    assert all(visitor.get("/jobs", job).status_code == 200 for job in jobs)
    after = [served(url) for url in doubled.replicas("jobs")]
    gained = [late - early for early, late in zip(before, after, strict=True)]
    assert sum(gained) == len(jobs)
    assert min(gained) > 0


def test_a_session_is_one_at_both_replicas(doubled: Doubled, visitor: Visitor) -> None:
    for _ in range(6):
        assert visitor.http.get("/auth/status").status_code == 200
        assert visitor.http.get("/auth/refresh").status_code == 200
        assert visitor.http.get("/user/simulations").status_code == 200
    cookies = dict(visitor.http.cookies)
    assert visitor.http.delete("/auth/logout").status_code == 200
    everywhere = [*doubled.replicas("auth"), *doubled.replicas("jobs")]

    def over() -> bool:
        answers = [
            httpx.get(url + path, cookies=cookies).status_code
            for url, path in zip(
                everywhere, ["/auth/status"] * 2 + ["/user/simulations"] * 2, strict=True
            )
        ]
        return set(answers) == {403}

    eventually(over, PATIENCE, "the session has ended everywhere")


@dataclass
class Load:
    """Clients that submit through nginx, and repeat what was not acknowledged."""

    url: str
    stopping: threading.Event = field(default_factory=threading.Event)
    acknowledged: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def run(self) -> None:
        visitor = Visitor(self.url).enter()
        try:
            while not self.stopping.is_set():
                self._submit(visitor)
        finally:
            visitor.close()

    def _submit(self, visitor: Visitor) -> None:
        key = uuid4().hex
        self.keys.append(key)

        def accepted() -> str | None:
            answer = visitor.http.post(
                "/jobs/direct", json=waiting(), headers={"Idempotency-Key": key}
            )
            self.statuses[answer.status_code] += 1
            assert answer.status_code in {202, 503}, answer.text
            if answer.status_code == 503:
                assert answer.headers["retry-after"]
                assert answer.json()["message"]
                return None
            job: str = answer.json()["job_id"]
            return job

        self.acknowledged.append(eventually(accepted, PATIENCE, "an acknowledgement"))


def test_a_rolling_restart_under_load_loses_nothing(doubled: Doubled) -> None:
    before = set(submitted(doubled.system.nats_url))
    load = Load(doubled.url)
    visitor = doubled.visitor().enter()
    with following(doubled.url, visitor.http.cookies) as follower, ThreadPoolExecutor(3) as pool:
        running = [pool.submit(load.run) for _ in range(3)]
        try:
            eventually(lambda: len(load.acknowledged) > 5, PATIENCE, "load")
            for name in ("jobs", "jobs.two", "auth", "auth.two"):
                done = len(load.acknowledged)
                doubled.restart(name)
                eventually(lambda: len(load.acknowledged) > done + 3, PATIENCE, "load")  # noqa: B023
        finally:
            load.stopping.set()
        for client in running:
            client.result(PATIENCE)
        eventually(lambda: follower.jobs() >= set(load.acknowledged), PATIENCE, "all are told")
        assert follower.connections > 1  # it was cut off and went on
        follower.check()
    made = set(submitted(doubled.system.nats_url)) - before
    assert len(load.acknowledged) == len(set(load.acknowledged)) == len(load.keys)
    assert made == set(load.acknowledged)  # each once, and nothing else
    try:
        for job in load.acknowledged:
            assert visitor.status(job)["job_state"] == "PENDING"
    finally:
        visitor.close()
    print(f"answers under load: {dict(load.statuses)}")


def submitted(nats_url: str) -> list[str]:
    """Return the ids of all jobs in the log."""

    async def read() -> list[str]:
        found: list[str] = []
        async with connection(nats_url, name="test") as client:
            last = (await client.jetstream().stream_info("JOBS")).state.last_seq
            if not last:
                return found
            async with JetStreamLog(client).follow("JOBS", 0) as batches:
                async for batch in batches:
                    found += [
                        record.commit.aggregate_id
                        for record in batch
                        if "JobSubmitted" in record.commit.types
                    ]
                    if batch and batch[-1].seq >= last:
                        break
        return found

    return asyncio.run(read())


def test_a_name_registered_at_one_replica_is_taken_at_the_other(doubled: Doubled) -> None:
    first, second = doubled.replicas("auth")
    name = {**NAME, "username": f"visitor{uuid4().hex[:8]}"}
    assert httpx.put(f"{first}/auth/register", json=name).status_code == 201
    assert httpx.put(f"{second}/auth/register", json=name).status_code == 403
    assert httpx.post(f"{second}/auth/login", json=name).status_code == 202
