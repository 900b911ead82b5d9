"""Live updates through nginx, from two replicas of which either may go."""

from __future__ import annotations

from uuid import uuid4

import httpx
import pytest

from kit.programs.family import PATIENCE, eventually
from kit.running.clients.follower import PATH, Follower, following
from kit.running.clients.visitor import Visitor
from kit.running.doubled import Doubled, waiting

pytestmark = pytest.mark.slow

REPLICAS = ("jobs", "jobs.two")


def serving(doubled: Doubled) -> str:
    """Return the replica that serves the only stream."""

    def found() -> str | None:
        busy = [name for name in REPLICAS if doubled.listeners(name) == 1]
        return busy[0] if len(busy) == 1 else None

    return eventually(found, PATIENCE, "one stream")


def hears(follower: Follower, jobs: list[str], state: str = "PENDING") -> None:
    eventually(lambda: follower.jobs(state) >= set(jobs), PATIENCE, f"{state} is told")


def submit(visitor: Visitor) -> str:
    """Submit, again and again with one key while a replica is going."""
    headers = {"Idempotency-Key": uuid4().hex}

    def accepted() -> str | None:
        answer = visitor.http.post("/jobs/direct", json=waiting(), headers=headers)
        assert answer.status_code in {202, 503}, answer.text
        job: str | None = answer.json().get("job_id")
        return job

    return eventually(accepted, PATIENCE, "an accepted job")


def cancel(visitor: Visitor, job: str) -> None:
    def done() -> bool:
        answer = visitor.http.delete("/jobs/direct", params={"job_id": job})
        assert answer.status_code in {200, 503}, answer.text
        return answer.status_code == 200

    eventually(done, PATIENCE, "a cancelled job")


def test_nginx_passes_on_each_event_at_once(doubled: Doubled, visitor: Visitor) -> None:
    """It holds back nothing, however small, while the stream goes on."""
    with following(doubled.url, visitor.http.cookies) as follower:
        eventually(lambda: follower.ready, PATIENCE, "a stream")
        for number in range(5):
            job = submit(visitor)
            hears(follower, [job])
            assert len(follower.jobs()) == number + 1
        assert follower.connections == 1
        follower.check()


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_a_listener_who_is_cut_off_goes_on_at_the_other_replica(
    doubled: Doubled, visitor: Visitor, killed: bool
) -> None:
    with following(doubled.url, visitor.http.cookies) as follower:
        eventually(lambda: follower.ready, PATIENCE, "a stream")
        first = serving(doubled)
        other = next(name for name in REPLICAS if name != first)
        made = [submit(visitor) for _ in range(5)]
        hears(follower, made)
        assert follower.connections == 1
        doubled.stop(first, at_once=killed)
        # while one is away, and the listener perhaps is on its way
        made += [submit(visitor) for _ in range(5)]
        ended = made[3:7]
        for job in ended:
            cancel(visitor, job)
        # of a job that has ended before the listener was back, only the end is told
        hears(follower, [job for job in made if job not in ended])
        hears(follower, ended, "CANCELED")
        assert doubled.listeners(other) == 1
        doubled.resume(first)
        late = [submit(visitor) for _ in range(5)]
        hears(follower, late)
        made += late
        assert follower.connections == follower.ready == 2
        follower.check()
        seen = [job for job in follower.order("PENDING") if job in made]
        assert seen == [job for job in made if job in seen]
        assert set(made) - set(seen) <= set(ended)
        # told together, jobs come in the order of their last events: that of their last tasks' ends
        assert sorted(follower.order("CANCELED")) == sorted(ended)


def test_a_stream_goes_on_at_another_replica_without_nginx(
    doubled: Doubled, visitor: Visitor
) -> None:
    """What a replica told is not told again by another; what it missed is."""
    first, second = doubled.replicas("jobs")
    cookies = visitor.http.cookies
    with following(first, cookies) as follower:
        eventually(lambda: follower.ready, PATIENCE, "a stream")
        heard = httpx.post(
            f"{second}/jobs/direct", json=waiting(), cookies=dict(cookies), timeout=PATIENCE
        ).json()["job_id"]
        hears(follower, [heard])
        position = follower.last_id
    missed = submit(visitor)
    text = ""
    with (
        httpx.Client(base_url=second, cookies=dict(cookies), timeout=PATIENCE) as client,
        client.stream("GET", PATH, headers={"Last-Event-ID": position}) as answer,
    ):
        for piece in answer.iter_text():
            text += piece
            if "event: ready" in text:
                break
    assert missed in text
    assert heard not in text
