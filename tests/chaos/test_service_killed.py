"""Services in separate processes lose one another, their log or their database during a job."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kerma_allinone.children import NatsChild, PostgresChild
from kerma_common.faults import FaultPoint
from kit.events.chosen import submit_chosen
from kit.events.reference import SECONDS, body_of, survived
from kit.programs.family import eventually
from kit.running.apart import SERVICES, Apart, apart
from kit.running.clients.visitor import Visitor
from kit.running.whole import SHORT_LEASES
from kit.running.worlds.services import prepare

pytestmark = pytest.mark.chaos


@pytest.fixture(scope="module")
def system(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Apart]:
    asyncio.run(prepare(nats_url))
    folder: Path = tmp_path_factory.mktemp("apart")
    with apart(folder, nats_url, postgres_url, **SHORT_LEASES) as made:
        made.start_all()
        yield made


@pytest.fixture
def visitor(system: Apart) -> Iterator[Visitor]:
    system.ready()
    visitor = system.visitor().enter()
    yield visitor
    visitor.close()


VICTIMS = (*SERVICES, "worker")


@pytest.mark.parametrize(("number", "victim"), list(enumerate(VICTIMS)))
def test_one_process_is_killed(
    system: Apart,
    visitor: Visitor,
    dice: random.Random,
    undisturbed: dict[int, bytes],
    number: int,
    victim: str,
) -> None:
    submit_chosen(system.place, visitor.user_id, number, body_of())
    time.sleep(dice.uniform(0.0, SECONDS))
    system.programs[victim].kill()
    system.start(victim)
    survived(system.place, visitor, number, undisturbed)


ROUNDS = (
    {
        "jobs": FaultPoint.BEFORE_APPEND,
        "runner": FaultPoint.AFTER_APPEND_BEFORE_ANSWER,
        "results": FaultPoint.AFTER_PROJECT_BEFORE_COMMIT,
    },
    {
        "jobs": FaultPoint.AFTER_COMMIT_BEFORE_PUBLISH,
        "runner": FaultPoint.OUTBOX_BEFORE_DISPATCH,
        "results": FaultPoint.OUTBOX_AFTER_DISPATCH,
    },
)


@pytest.mark.parametrize(("number", "points"), [(6, ROUNDS[0]), (7, ROUNDS[1])])
def test_services_die_at_named_points(
    system: Apart,
    visitor: Visitor,
    undisturbed: dict[int, bytes],
    number: int,
    points: dict[str, FaultPoint],
) -> None:
    for service, point in points.items():
        system.programs[service].kill()
        system.start(service, KERMA_FAULT_POINT=point.value)
    doomed = {service: system.programs[service] for service in points}
    submit_chosen(system.place, visitor.user_id, number, body_of())

    def all_died() -> bool:
        for service in [s for s, program in doomed.items() if not program.alive]:
            assert doomed.pop(service).process.returncode == -signal.SIGKILL
            system.start(service)
        return not doomed

    eventually(all_died, 90, "the end of every doomed service")
    survived(system.place, visitor, number, undisturbed)


@pytest.mark.parametrize(("number", "server"), [(8, "nats_child"), (9, "postgres_child")])
def test_services_outlive_their_servers(
    system: Apart,
    visitor: Visitor,
    dice: random.Random,
    undisturbed: dict[int, bytes],
    request: pytest.FixtureRequest,
    number: int,
    server: str,
) -> None:
    victim: NatsChild | PostgresChild = request.getfixturevalue(server)
    submit_chosen(system.place, visitor.user_id, number, body_of())
    time.sleep(dice.uniform(0.0, SECONDS))
    victim.child.send(signal.SIGKILL)

    async def start_again() -> None:
        await victim.child.wait()
        await victim.restart()

    asyncio.run(start_again())
    survived(system.place, visitor, number, undisturbed)
    assert all(program.alive for program in system.programs.values())
