"""``kerma up`` loses a part, or everything, in the middle of a job."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from kit.events.chosen import submit_chosen, successes, told
from kit.events.reference import SECONDS, body_of, survived
from kit.inputs.projects import submission
from kit.programs.family import PATIENCE, eventually
from kit.running.clients.visitor import Visitor
from kit.running.whole import SHORT_LEASES, Whole, whole

pytestmark = pytest.mark.chaos


@pytest.fixture(scope="module")
def kerma() -> Iterator[Whole]:
    with whole(**SHORT_LEASES) as made:
        made.up()
        yield made


@pytest.fixture
def visitor(kerma: Whole) -> Iterator[Visitor]:
    visitor = kerma.visitor().enter()
    yield visitor
    visitor.close()


PARTS = {"worker": "kerma_runner.worker", "nats": "nats-server", "postgres": "pgdata"}


@pytest.mark.parametrize(("number", "part"), list(enumerate(PARTS)))
def test_a_part_is_killed(
    kerma: Whole,
    visitor: Visitor,
    dice: random.Random,
    undisturbed: dict[int, bytes],
    number: int,
    part: str,
) -> None:
    victim = kerma.child(PARTS[part])
    submit_chosen(kerma.place, visitor.user_id, number, body_of())
    time.sleep(dice.uniform(0.0, SECONDS))
    assert victim is not None
    victim.kill()
    # nobody has to log in again
    eventually(lambda: kerma.child(PARTS[part], victim.pid), PATIENCE, f"another {part}")
    survived(kerma.place, visitor, number, undisturbed)


# longer than every wait for an answer; shorter and longer than a NATS client's ping timeout
SHORT, LONG = 25.0, 60.0


@contextmanager
def hanging(server: psutil.Process) -> Iterator[None]:
    """Stop a part: it keeps its connections and answers nothing."""
    processes = [server, *server.children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


@pytest.mark.parametrize(
    ("number", "part", "seconds"),
    [(6, "nats", SHORT), (7, "postgres", SHORT), (8, "nats", LONG), (9, "postgres", LONG)],
)
def test_a_part_hangs(
    kerma: Whole,
    visitor: Visitor,
    undisturbed: dict[int, bytes],
    number: int,
    part: str,
    seconds: float,
) -> None:
    """Then it resumes, and so does everything, for later jobs too; nothing is restarted."""
    before = {marker: kerma.child(marker) for marker in PARTS.values()}
    server = before[PARTS[part]]
    assert server is not None
    submit_chosen(kerma.place, visitor.user_id, number, body_of())
    with hanging(server):
        time.sleep(seconds)
    survived(kerma.place, visitor, number, undisturbed)
    later = visitor.submit(body_of())
    tasks = visitor.until(later, "COMPLETED")["job_tasks_status"]
    assert successes(kerma.place, later) == dict.fromkeys(range(len(tasks)), 1)
    assert {marker: kerma.child(marker) for marker in PARTS.values()} == before


@pytest.mark.parametrize("number", [3, 4])
def test_everything_is_killed(
    kerma: Whole, dice: random.Random, undisturbed: dict[int, bytes], number: int
) -> None:
    visitor = kerma.visitor().enter()
    submit_chosen(kerma.place, visitor.user_id, number, body_of())
    time.sleep(dice.uniform(0.0, SECONDS))
    visitor.close()
    kerma.kill_everything()
    kerma.up()
    again = kerma.visitor().enter()
    survived(kerma.place, again, number, undisturbed)
    again.close()


def test_what_ran_when_everything_was_killed_runs_again_without_waiting_for_leases() -> None:
    """The leases would outlast the test."""
    with whole(KERMA_RUNNER_LEASE_SECONDS="3600") as kerma:
        kerma.up()
        visitor = kerma.visitor().enter()
        job = visitor.submit(submission(20_000, 2))
        visitor.until(job, "RUNNING")
        visitor.close()
        kerma.kill_everything()
        kerma.up()
        again = kerma.visitor().enter()
        shown = again.until(job, "COMPLETED")
        assert {task["task_state"] for task in shown["job_tasks_status"]} == {"COMPLETED"}
        assert successes(kerma.place, job) == {0: 1, 1: 1}
        events = Counter(t.event.type for t in told(kerma.place, job))
        assert events["TaskLeaseExpired"] == events["TaskRequeued"] > 0
        again.close()


def test_what_ran_when_the_services_alone_were_killed_runs_again_without_waiting() -> None:
    """The worker cannot hand its tasks back, and their leases would outlast the test."""
    with whole(KERMA_RUNNER_LEASE_SECONDS="3600") as kerma:
        kerma.up()
        visitor = kerma.visitor().enter()
        job = visitor.submit(submission(20_000, 2))
        visitor.until(job, "RUNNING")
        visitor.close()
        assert kerma.program is not None
        kerma.program.process.send_signal(signal.SIGKILL)
        kerma.program.process.wait()
        kerma.up()
        again = kerma.visitor().enter()
        again.until(job, "COMPLETED")
        assert successes(kerma.place, job) == {0: 1, 1: 1}
        events = Counter(t.event.type for t in told(kerma.place, job))
        assert events["TaskLeaseExpired"] == events["TaskRequeued"] > 0
        again.close()


def test_the_services_alone_are_killed(
    kerma: Whole, dice: random.Random, undisturbed: dict[int, bytes]
) -> None:
    """Its children notice, and end by themselves."""
    visitor = kerma.visitor().enter()
    submit_chosen(kerma.place, visitor.user_id, 5, body_of())
    time.sleep(dice.uniform(0.0, SECONDS))
    visitor.close()
    assert kerma.program is not None
    kerma.program.process.send_signal(signal.SIGKILL)
    kerma.program.process.wait()
    kerma.up()
    again = kerma.visitor().enter()
    survived(kerma.place, again, 5, undisturbed)
    again.close()
    kerma.program.end()
    kerma.nobody_left(0)
