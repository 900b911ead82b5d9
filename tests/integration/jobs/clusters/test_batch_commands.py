"""``kerma admin`` on jobs for a cluster: the way in for scripts that are started by hand."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from kerma_client.cli import app
from kerma_common.errors import InvalidRequest
from kerma_common.infra import Infra
from kit.inputs.projects import submission
from kit.running.worlds.cluster import Script, run
from kit.running.worlds.jobs_world import as_user

pytestmark = pytest.mark.asyncio(loop_scope="module")
World = tuple[httpx.AsyncClient, Infra]


async def kerma(*arguments: str) -> Result:
    """Run a command as an operator does; it may not block the loop that serves it."""
    return await asyncio.to_thread(CliRunner().invoke, app, ["admin", *arguments])


async def issued(script: Script, *options: str) -> Script:
    ran = await kerma("update-key", script.job, "--json", *options)
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.output)
    assert found["simulation_id"] == script.number
    return script.with_key(found["update_key"])


async def test_a_script_reports_with_the_key_that_is_printed(script: Script) -> None:
    await (await issued(script)).said(1, task_state="RUNNING")
    only = await issued(script, "--only", "job", "--only", "logs")
    assert (await only.task(1, task_state="RUNNING")).status_code == 400
    assert (await only.report(job_state="RUNNING")).status_code == 202
    for_people = await kerma("update-key", script.job)
    assert f"simulation_id: {script.number}\nupdate_key: ey" in for_people.output


async def test_revoked_keys_are_void_and_a_new_one_is_not(script: Script) -> None:
    old = await issued(script)
    assert (await kerma("revoke-update-keys", script.job)).exit_code == 0
    async with asyncio.timeout(10):
        while (await old.task(1, simulated_primaries=1)).status_code != 400:
            await asyncio.sleep(0.05)
    # what ends a task is decided on the events themselves
    assert (await old.report(job_state="FAILED")).status_code == 400
    await (await issued(script)).said(1, task_state="RUNNING")


async def test_jobs_of_workers_have_no_keys(world: World) -> None:
    client, _ = world
    direct = (await as_user(client)("POST", "/jobs/direct", json=submission(4, 1))).json()["job_id"]
    for job in (direct, "20260101-000000-00000000-0000-0000-0000-000000000000BATCH"):
        for command in ("update-key", "revoke-update-keys"):
            ran = await kerma(command, job)
            assert ran.exit_code != 0
            assert "ey" not in ran.output


async def test_the_input_of_every_task_is_written(world: World, tmp_path: Path) -> None:
    script = await run(*world, tasks=3, primaries=10, sim_type="shieldhit")
    folder = tmp_path / "input"
    assert (await kerma("batch-input", script.job, str(folder))).exit_code == 0
    about = json.loads((folder / "batch.json").read_text())
    assert (about["simulation_id"], about["n_tasks"]) == (script.number, 3)
    assert about["array_options"] == {"time": "00:59:59"}
    assert len(about["commands"]) == 3
    shares = []
    for number in (1, 2, 3):
        beam = (folder / f"task_{number:04d}" / "beam.dat").read_text()
        shares += [line.split()[1] for line in beam.splitlines() if line.startswith("NSTAT")]
    assert shares == ["4", "3", "3"]
    again = await kerma("batch-input", script.job, str(folder))
    assert isinstance(again.exception, InvalidRequest)  # which the program prints
    assert str(again.exception) == f"cannot make {folder}: File exists"
