"""Two replicas of auth and of jobs behind nginx: whichever answers, clients see one Kerma."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import uuid4

import httpx
import orjson
import pytest

from kerma_common.eventlog.jetstream import JetStreamLog
from kerma_common.nats import connection
from kit.inputs.projects import submission
from kit.programs.family import PATIENCE, START_SECONDS, eventually
from kit.running.apart import SERVICES, Apart, apart
from kit.running.clients.visitor import NAME, Visitor
from kit.running.network.nginx import nginx
from kit.running.worlds.services import prepare

pytestmark = pytest.mark.slow

TWICE = ("auth", "jobs")
SETTINGS = {
    "KERMA_HTTP_TRUSTED_PROXIES": "127.0.0.1",
    "KERMA_JOBS_QUOTAS": orjson.dumps(
        {"default": {"submissions_per_minute": 10**6, "active_jobs": 10**6}}
    ).decode(),
}


@dataclass
class Doubled:
    system: Apart
    url: str

    def replicas(self, service: str) -> list[str]:
        ports = (self.system.ports[service], self.system.ports[f"{service}.two"])
        return [f"http://127.0.0.1:{port}" for port in ports]

    def visitor(self) -> Visitor:
        return Visitor(self.url)

    def restart(self, name: str) -> None:
        """Stop a replica in order, start it again and wait until it is ready."""
        self.system.programs[name].end()
        self.system.start(name)
        eventually(partial(self.system._is_ready, name), START_SECONDS, name)


@pytest.fixture(scope="module")
def doubled(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Doubled]:
    asyncio.run(prepare(nats_url))
    folder: Path = tmp_path_factory.mktemp("replicas")
    with apart(folder, nats_url, postgres_url, **SETTINGS) as system:
        for name in SERVICES:
            system.start(name)
        system.ready()
        for service in TWICE:
            system.start(f"{service}.two")
        system.ready()
        urls = {name: [f"http://127.0.0.1:{system.ports[name]}"] for name in SERVICES}
        for service in TWICE:
            urls[service].append(f"http://127.0.0.1:{system.ports[f'{service}.two']}")
        with nginx(folder / "nginx", urls) as url:
            made = Doubled(system, url)
            made.visitor().enter().close()
            yield made


@pytest.fixture
def visitor(doubled: Doubled) -> Iterator[Visitor]:
    made = doubled.visitor().enter()
    yield made
    made.close()


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
            accepted = writer.post("/jobs/direct", json=body())
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


def body() -> dict[str, object]:
    return {**submission(1000, 1), "wait_for_engine": True}


def test_both_replicas_answer_behind_nginx(doubled: Doubled, visitor: Visitor) -> None:
    before = [served(url) for url in doubled.replicas("jobs")]
    jobs = [visitor.submit(body()) for _ in range(10)]
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


class Stream:
    """A stream of live updates, read event by event."""

    def __init__(self, answer: httpx.Response) -> None:
        assert answer.status_code == 200
        self._pieces = answer.iter_text()
        self._text = ""

    def until(self, wanted: str) -> str:
        """Read up to the event that holds ``wanted``; return its id."""
        while True:
            *told, rest = self._text.split("\n\n")
            for number, event in enumerate(told):
                if wanted in event:
                    self._text = "\n\n".join([*told[number + 1 :], rest])
                    return next(li[4:] for li in event.splitlines() if li.startswith("id: "))
            self._text += next(self._pieces)


def test_a_stream_tells_of_other_replicas_jobs_and_goes_on_at_another(
    doubled: Doubled, visitor: Visitor
) -> None:
    first, second = (
        httpx.Client(base_url=url, cookies=dict(visitor.http.cookies), timeout=PATIENCE)
        for url in doubled.replicas("jobs")
    )

    def submit() -> str:
        job: str = second.post("/jobs/direct", json=body()).json()["job_id"]
        return job

    path = "/v1/jobs/events"
    with first, second:
        with first.stream("GET", path) as answer:
            stream = Stream(answer)
            stream.until("event: ready")
            heard = submit()
            position = stream.until(heard)
        missed = submit()
        with second.stream("GET", path, headers={"Last-Event-ID": position}) as answer:
            text = ""
            for piece in answer.iter_text():
                text += piece
                if "event: ready" in text:
                    break
        assert missed in text
        assert heard not in text


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
                "/jobs/direct", json=body(), headers={"Idempotency-Key": key}
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
    with ThreadPoolExecutor(3) as pool:
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
    made = set(submitted(doubled.system.nats_url)) - before
    assert len(load.acknowledged) == len(set(load.acknowledged)) == len(load.keys)
    assert made == set(load.acknowledged)  # each once, and nothing else
    visitor = doubled.visitor().enter()
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
