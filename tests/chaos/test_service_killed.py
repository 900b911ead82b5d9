"""Services that run apart lose one another, their log or their database in the middle of a job."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kerma_common.faults import FaultPoint
from kit.apart import SERVICES, Apart, apart
from kit.chosen import submit_chosen
from kit.reference import SECONDS, body_of, survived
from kit.services import prepare
from kit.visitor import Visitor
from kit.whole import SHORT_LEASES

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


POINTS = (
    ("jobs", FaultPoint.BEFORE_APPEND),
    ("runner", FaultPoint.AFTER_APPEND_BEFORE_ANSWER),
    ("results", FaultPoint.AFTER_PROJECT_BEFORE_COMMIT),
    ("jobs", FaultPoint.AFTER_COMMIT_BEFORE_PUBLISH),
    ("runner", FaultPoint.OUTBOX_BEFORE_DISPATCH),
    ("results", FaultPoint.OUTBOX_AFTER_DISPATCH),
)


@pytest.mark.parametrize(
    ("number", "service", "point"), [(6 + n, *named) for n, named in enumerate(POINTS)]
)
def test_a_service_dies_at_a_named_point(
    system: Apart,
    visitor: Visitor,
    undisturbed: dict[int, bytes],
    number: int,
    service: str,
    point: FaultPoint,
) -> None:
    system.programs[service].end()
    doomed = system.start(service, KERMA_FAULT_POINT=point.value)
    submit_chosen(system.place, visitor.user_id, number, body_of())
    assert doomed.process.wait(60) == -signal.SIGKILL
    system.start(service)
    survived(system.place, visitor, number, undisturbed)
