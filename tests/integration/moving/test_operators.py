"""``kerma admin`` for users, sessions, tokens, jobs and tasks, against running services."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kerma_auth.domain.user import USER
from kerma_common.contracts.events.jobs import OwnerJobsDeleted
from kerma_common.contracts.subjects import owner_subject, user_subject
from kerma_common.infra import Infra
from kit.running.clients.command_line import kerma
from kit.running.worlds.accounts import login
from kit.running.worlds.jobs_world import append
from kit.running.worlds.moving import Kerma, Visitor
from kit.yaptide.database import Old, Yaptide

pytestmark = pytest.mark.asyncio(loop_scope="module")
PASSWORD = "a password of ada"


async def admin(*arguments: str, code: int = 0, typed: str = "") -> Any:
    """Run a command of operators with --json; return what it prints."""
    ran = await kerma("admin", *arguments, "--json", code=code, typed=typed)
    return ran.json if code == 0 else ran.stderr


async def settled(found: Kerma) -> None:
    """Wait until reads show everything that is stored."""
    for service, projection, stream in (("auth", "users", "AUTH"), ("jobs", "jobs", "JOBS")):
        infra: Infra = found.infra[service]
        last = (await infra.log.state(stream)).last
        assert await infra.positions.wait(projection, stream, last, 30.0)


async def owner(found: Kerma, name: str) -> Visitor:
    """Create a user and log in."""
    await admin("users", "add", name, "--password-stdin", typed=PASSWORD + "\n")
    await settled(found)
    return await found.login(name, PASSWORD)


async def with_jobs(yaptide: Yaptide, url_file: Path, name: str, number: int) -> list[Old]:
    """Import a user with jobs."""
    yaptide.add_user(name, PASSWORD)
    made = [yaptide.add_job(name, job_id=f"{name}-{k}") for k in range(number)]
    await kerma("admin", "import-yaptide", "--database-url-file", str(url_file))
    return made


async def test_passwords_come_from_standard_input_or_a_prompt(kerma_services: Kerma) -> None:
    await owner(kerma_services, "ada")
    ran = await kerma(
        "admin",
        "users",
        "reset-password",
        "ada",
        "--ask-password",
        typed="a new word\na new word\n",
    )
    assert "a new word" not in ran.stdout + ran.stderr
    assert (await login(kerma_services.auth, "ada", PASSWORD)).status_code == 401
    await kerma_services.login("ada", "a new word")
    told = await admin("users", "reset-password", "ada")
    await kerma_services.login("ada", told["password"])
    refused = await admin("users", "add", "short", "--password-stdin", typed="x\n", code=1)
    assert "Must have 8 to 128 characters" in refused
    await admin("users", "add", "both", "--password-stdin", "--ask-password", code=2)
    assert "already exists" in await admin("users", "add", "ada", code=1)


async def test_sessions_are_counted_and_ended(kerma_services: Kerma) -> None:
    first = await owner(kerma_services, "sue")
    await kerma_services.login("sue", PASSWORD)
    (row,) = [row for row in await admin("sessions", "list") if row["username"] == "sue"]
    assert row["sessions"] == 2
    assert (await admin("sessions", "end", "sue"))["ended"] == 2
    last = (await kerma_services.infra["auth"].log.state("AUTH")).last
    assert await kerma_services.infra["jobs"].identity.wait(last, 30.0)
    await first.get("/user/simulations", 403)
    assert not [row for row in await admin("sessions", "list") if row["username"] == "sue"]
    assert "sue" not in (await kerma("admin", "sessions", "list")).stdout


async def test_tokens_are_listed_and_revoked(kerma_services: Kerma) -> None:
    visitor = await owner(kerma_services, "tom")
    made = await kerma_services.auth.post(
        "/v1/tokens",
        json={"label": "nightly", "days": 9},
        headers={"Authorization": f"Bearer {visitor.token}"},
    )
    assert made.status_code == 201, made.text
    await settled(kerma_services)
    (row,) = await admin("tokens", "list", "tom")
    assert row["label"] == "nightly"
    await admin("tokens", "revoke", "tom", row["id"])
    await settled(kerma_services)
    assert await admin("tokens", "list", "tom") == []
    assert "no such token" in await admin("tokens", "revoke", "tom", "0" * 16, code=1)
    assert "there is no user nobody" in await admin("tokens", "list", "nobody", code=1)


async def test_jobs_are_listed_shown_and_removed(
    kerma_services: Kerma, yaptide: Yaptide, url_file: Path
) -> None:
    first, second = await with_jobs(yaptide, url_file, "joe", 2)
    listed = await admin("jobs", "list", "--user", "joe")
    assert [row["id"] for row in listed] == [second.job_id, first.job_id]
    assert {row["username"] for row in listed} == {"joe"}
    assert await admin("jobs", "list", "--user", "joe", "--state", "RUNNING") == []
    assert "--state is not one of" in await admin("jobs", "list", "--state", "RUNING", code=1)
    assert len(await admin("jobs", "list", "--user", "joe", "--limit", "1")) == 1
    shown = await admin("jobs", "show", first.job_id)
    assert (shown["state"], shown["origin"]) == ("COMPLETED", "yaptide")
    tasks = await admin("tasks", "list", first.job_id)
    assert [(task["number"], task["requested"]) for task in tasks] == [(0, 6), (1, 6)]
    assert (await admin("jobs", "cancel", first.job_id))["canceled"] is False
    await admin("jobs", "remove", first.job_id)
    await settled(kerma_services)
    assert [row["id"] for row in await admin("jobs", "list", "--user", "joe")] == [second.job_id]
    for command in ("show", "cancel", "remove"):
        assert "does not exist" in await admin("jobs", command, "no-such-job", code=1)
    assert first.job_id not in (await kerma("admin", "jobs", "list")).stdout


async def test_a_user_with_jobs_is_removed_only_with_them(
    kerma_services: Kerma, yaptide: Yaptide, url_file: Path
) -> None:
    jobs = await with_jobs(yaptide, url_file, "rob", 3)
    visitor = await kerma_services.login("rob", PASSWORD)
    await admin("users", "grant", "rob", "staff")
    (rob,) = [row["id"] for row in await admin("users", "list") if row["username"] == "rob"]
    refused = await admin("users", "remove", "rob", code=1)
    assert "rob has 3 jobs" in refused
    assert "--with-jobs" in refused
    assert (await admin("users", "remove", "rob", "--with-jobs"))["jobs"] == 3
    await settled(kerma_services)
    last = (await kerma_services.infra["auth"].log.state("AUTH")).last
    assert await kerma_services.infra["jobs"].identity.wait(last, 30.0)
    await visitor.get("/jobs", 403, job_id=jobs[0].job_id)
    assert (await login(kerma_services.auth, "rob", PASSWORD)).status_code == 401
    assert not [row for row in await admin("users", "list") if row["username"] == "rob"]
    # the name is taken until the jobs service says that nothing is left, also of what was on its way
    assert "already exists" in await admin("users", "add", "rob", code=1)
    auth = kerma_services.infra["auth"]
    user, _ = await auth.bus.state(USER, user_subject(rob))
    deleted = OwnerJobsDeleted(user_id=rob, removal=user.leaving)
    await append(kerma_services.infra["jobs"], owner_subject(rob), deleted)
    # then it is free, for somebody else, who gets nothing of the former
    again = await owner(kerma_services, "rob")
    assert (await again.get("/user/simulations"))["simulations_count"] == 0
    (row,) = [row for row in await admin("users", "list") if row["username"] == "rob"]
    assert (row["roles"], row["disabled"]) == ([], False)
    assert "there is no user" in await admin("users", "remove", "nobody", code=1)


async def test_a_removed_user_is_not_imported_again(
    kerma_services: Kerma, yaptide: Yaptide, url_file: Path
) -> None:
    (job,) = await with_jobs(yaptide, url_file, "ray", 1)
    await admin("users", "remove", "ray", "--with-jobs")
    ran = await kerma(
        "admin", "import-yaptide", "--json", "--database-url-file", str(url_file), code=4
    )
    assert "this user was removed here" in {note["reason"] for note in ran.json["skipped"]}
    assert (await login(kerma_services.auth, "ray", PASSWORD)).status_code == 401
    assert job.job_id not in (await kerma("admin", "jobs", "list")).stdout


async def test_without_kerma_a_command_is_unavailable(
    kerma_services: Kerma, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KERMA_PG_URL", "postgresql://nobody:hidden@127.0.0.1:1/gone")
    ran = await kerma("admin", "users", "list", code=3)
    assert "hidden" not in ran.stderr
    monkeypatch.delenv("KERMA_NATS_URL")
    await kerma("admin", "users", "list", "--data", str(tmp_path), code=3)
    await kerma("admin", "users", "lost", code=2)
