"""An import that is killed at any point goes on when it is run again, and stores nothing twice."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from pathlib import Path

import pytest

from kit.programs.family import KERMA, PATIENCE, Program, environment
from kit.running.clients.command_line import kerma
from kit.running.worlds.moving import Kerma
from kit.yaptide import expected
from kit.yaptide.database import Yaptide

pytestmark = pytest.mark.asyncio(loop_scope="module")
PASSWORD = "a password of long ago"
KILLS = (
    "before_append:1",  # the user is in the vault, and nowhere else
    "after_append_before_answer:1",  # the user is stored
    "before_append:3",  # blobs are stored
    "after_append_before_answer:3",  # some results are
    "after_append_before_answer:6",  # all are, and some jobs
)


async def test_it_goes_on_after_a_kill(
    kerma_services: Kerma, yaptide: Yaptide, url_file: Path, tmp_path: Path
) -> None:
    yaptide.add_user("patient", PASSWORD)
    jobs = [yaptide.add_job("patient", job_id=f"killed-{number}") for number in range(4)]
    command = [*KERMA, "admin", "import-yaptide"]
    for number, point in enumerate(KILLS):
        env = environment(KERMA_FAULT_POINT=point, KERMA_YAPTIDE_DATABASE_URL=yaptide.url)
        program = Program.start(command, tmp_path / f"import-{number}", env, tmp_path)
        status = await asyncio.to_thread(program.process.wait, PATIENCE)
        assert status == -signal.SIGKILL, (point, program.said)
    ran = await kerma("admin", "import-yaptide", "--json", "--database-url-file", str(url_file))
    tables = ran.json["tables"]
    done = Counter(tables["Simulation"])
    assert done["taken"] + done["known"] == done["found"] == 4
    assert done["known"]
    visitor = await kerma_services.login("patient", PASSWORD)
    for job in jobs:
        found = await visitor.get("/results", job_id=job.job_id)
        assert found["estimators"] == expected.results(job)
        status = await visitor.get("/jobs", job_id=job.job_id)
        assert status["job_tasks_status"] == expected.tasks(job)
    assert (await visitor.get("/user/simulations"))["simulations_count"] == 4

    log = kerma_services.infra["jobs"].log
    for stream, most in (("AUTH", 1), ("JOBS", 4), ("RESULTS", 4)):
        kinds = Counter(
            event.type
            for record in await log.history(stream, f"ev.{stream.lower()}.>")
            for event in record.commit.events
        )
        kinds.pop("SigningKeyIntroduced", None)
        kinds.pop("EstimatorMaterialised", None)
        assert set(kinds.values()) == {most}, kinds
    rows = (await kerma("admin", "users", "list", "--json")).json
    assert [row["username"] for row in rows] == ["patient"]
