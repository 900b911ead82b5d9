"""The undisturbed results of the reference job."""

from __future__ import annotations

import pytest

from kit.events.chosen import submit_chosen
from kit.events.reference import JOBS, body_of
from kit.running.whole import whole


@pytest.fixture(scope="session")
def undisturbed() -> dict[int, bytes]:
    """Bodies of /results of the chosen jobs, from a separate, undisturbed Kerma."""
    with whole() as kerma:
        kerma.up()
        visitor = kerma.visitor().enter()
        jobs = [submit_chosen(kerma.place, visitor.user_id, n, body_of()) for n in range(JOBS)]
        bodies = {}
        for number, job in enumerate(jobs):
            visitor.until(job, "COMPLETED")
            bodies[number] = visitor.results(job)
        visitor.close()
    assert len(set(bodies.values())) == JOBS
    return bodies
