"""Rows that YAPTIDE accepts and Kerma does not: left out or changed, with table, id and reason."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from kerma_allinone.children import PostgresChild
from kerma_allinone.yaptide import documents
from kit.running.clients.command_line import kerma
from kit.running.servers import fresh_database
from kit.running.worlds.accounts import login, register
from kit.running.worlds.moving import Kerma
from kit.yaptide import expected, schema
from kit.yaptide.database import BEGIN, Yaptide, packed, page

pytestmark = pytest.mark.asyncio(loop_scope="module")
PASSWORD = "a Pässword"
COMMAND = ("admin", "import-yaptide", "--json", "--database-url-file")


def reasons(notes: list[dict[str, Any]]) -> dict[tuple[str, int], str]:
    return {(note["table"], note["id"]): note["reason"] for note in notes}


async def test_users(kerma_services: Kerma, yaptide: Yaptide, url_file: Path) -> None:
    await register(kerma_services.auth, "here before")
    taken = yaptide.add_user("HERE before", PASSWORD)
    empty = yaptide.add_user("", PASSWORD)
    odd = yaptide.add_user("odd ", PASSWORD)
    mixed = yaptide.add_user("аda", PASSWORD)  # a Cyrillic letter
    first, second = yaptide.add_user("Carl", "first word"), yaptide.add_user("carl", "second word")
    none = yaptide.add_user("no password")
    strange = yaptide.add_user("strange hash", hashed="sha1$salt$" + "0" * 40)
    pbkdf2 = yaptide.add_user(
        "old", hashed="pbkdf2:sha256:1000$salt$" + _pbkdf2("an old word", "salt", 1000)
    )
    other = yaptide.insert("User", username="ldap", auth_provider="LdapUser")
    keycloak = yaptide.add_keycloak_user("Carl of Keycloak")
    yaptide.users["ldap"] = other
    lost = yaptide.add_job("ldap", job_id="lost")
    kept = yaptide.add_job("Carl of Keycloak", job_id="kept")

    report = (await kerma(*COMMAND, str(url_file), code=4)).json
    skipped = reasons(report["skipped"])
    assert skipped == {
        ("User", taken): "a user of this Kerma has this name, or an equal one",
        ("User", empty): "nobody can log in with this name here",
        ("User", other): "its provider is LdapUser",
        ("Simulation", lost.number): "its user was skipped",
    }
    changed = reasons(report["changed"])
    assert "an equal" in changed["User", second] or "equals another's" in changed["User", second]
    assert changed["User", none] == "has no password: an operator must reset it"
    assert "of unknown form" in changed["User", strange]
    assert not {("User", one) for one in (odd, mixed, first, pbkdf2, keycloak)} & changed.keys()

    for name, password in (
        ("odd ", PASSWORD),
        ("аda", PASSWORD),
        ("Carl", "first word"),
        ("carl", "second word"),
        ("old", "an old word"),
    ):
        await kerma_services.login(name, password)
    for name in ("no password", "strange hash", "Carl of Keycloak"):
        assert (await login(kerma_services.auth, name, PASSWORD)).status_code == 401
    given = (await kerma("admin", "users", "reset-password", "no password")).stdout.strip()
    await kerma_services.login("no password", given)
    # the equal name of an imported user is taken for new ones
    answer = await kerma_services.auth.put(
        "/auth/register", json={"username": "CARL", "password": PASSWORD}
    )
    assert answer.status_code == 403
    log = kerma_services.infra["jobs"].log
    assert (await log.history("JOBS", f"ev.jobs.job.*.{kept.job_id}"))[0].commit.events


def _pbkdf2(password: str, salt: str, iterations: int) -> str:
    import hashlib

    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), iterations).hex()


async def test_documents(
    kerma_services: Kerma,
    yaptide: Yaptide,
    url_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(documents, "MOST_TEXT", 1 << 20)
    yaptide.add_user("eve", PASSWORD)
    job = yaptide.add_job("eve", job_id="documents")
    add = yaptide.add_page
    first = yaptide.db.execute(
        b'SELECT min(id) FROM "Estimator" WHERE simulation_id = %s', (job.number,)
    ).fetchone()
    assert first is not None
    estimator = first[0]
    bomb = gzip.compress(b"[" + b" " * (2 << 20) + b"]")
    nan = page(7, "NAN", [1.0, float("nan"), float("inf")])
    bad = {
        add(estimator, page(0, "DOSE", [9.0])): "the estimator has another page with this number",
        add(estimator, page(3, "X", [1.0]), page_number=-1): "its number is negative",
        add(estimator, page(4, "X", [1.0]), compressed_data=b"no gzip"): "is not gzip",
        add(estimator, page(5, "X", [1.0]), compressed_data=packed("x")[:-9]): "is cut short",
        add(estimator, [1], page_number=6): "is not an object",
        add(estimator, page(8, "X", [1.0]), compressed_data=gzip.compress(b"{")): "is not JSON",
        add(estimator, page(9, "X", [1.0]), compressed_data=bomb): "has more than 1 MiB",
        add(
            estimator,
            page(10, "X", [1.0]),
            compressed_data=gzip.compress(b"[" * 100_000 + b"]" * 100_000),
        ): "is not JSON",
    }
    held_nan = add(estimator, nan)
    # whatever its numbers are, a page is shown as it is
    shapeless = page(11, "S", [1.0, 2.0])
    shapeless["axis_dim1"]["values"] = ["a", None, {}]
    shapeless["data"] |= {"unit": "\x00", "values": [[1], "x"]}
    add(estimator, shapeless)
    add(estimator, page(2**31 - 1, "LAST", [1.0]))
    second_input = yaptide.add_document("Input", job.number, {"input_files": {}})
    log = yaptide.add_document("Logfiles", job.number, ["no", "object"])
    yaptide.add_document("Logfiles", job.number, {"shieldhit_0001.log": "another", "n": {"a": 1}})

    report = (await kerma(*COMMAND, str(url_file), code=4)).json
    skipped = reasons(report["skipped"])
    for number, reason in bad.items():
        assert skipped.pop(("Page", number)).startswith(reason)
    assert skipped == {("Input", second_input): "the job has another input, which is shown"}
    assert list(reasons(report["changed"])) == [("Page", held_nan)]

    eve = await kerma_services.login("eve", PASSWORD)
    shown = (await eve.get("/results", job_id="documents"))["estimators"]
    pages = {page["metadata"]["page_number"]: page for page in shown[0]["pages"]}
    assert pages["7"]["data"]["values"] == [1.0, None, None]
    assert pages["11"] == shapeless
    assert set(pages) == {"0", "2", "7", "11", str(2**31 - 1)}
    assert shown[1:] == expected.results(job)[1:]
    logs = (await eve.get("/logfiles", job_id="documents", plain="true"))["logfiles"]
    assert logs["shieldhit_0001.log"] == "<b>run 1</b>\n"
    assert logs["shieldhit_0001.log (2)"] == "another"
    assert '"a": 1' in logs["n"]
    assert "log.txt" in logs
    assert log
    assert not await _quarantined()


async def _quarantined() -> str:
    """Return the lines of ``kerma admin projections quarantine`` below its headings."""
    lines = (await kerma("admin", "projections", "quarantine")).stdout.splitlines()
    return "\n".join(line for line in lines if "results" in line or "jobs" in line)


async def test_jobs_and_tasks(kerma_services: Kerma, yaptide: Yaptide, url_file: Path) -> None:
    yaptide.add_user("mallory", PASSWORD)
    many = [
        {
            "task_id": index + 1,
            "requested_primaries": 2**31 - 1,
            "simulated_primaries": -5,
            "task_state": "COMPLETED",
            "start_time": BEGIN,
            "end_time": BEGIN,
            "last_update_time": BEGIN,
        }
        for index in range(2000)
    ]
    large = yaptide.add_job("mallory", job_id="large", platform="BATCH", tasks=many)
    partial = yaptide.add_job("mallory", job_id="partial")
    yaptide.db.execute(
        b"UPDATE \"Task\" SET task_state = 'FAILED' WHERE simulation_id = %s AND task_id = 1",
        (partial.number,),
    )
    banana = yaptide.add_job("mallory", "BANANA", job_id="banana", title="t" * 5000)
    endless = yaptide.add_job("mallory", job_id="endless", end=None)
    yaptide.db.execute(
        b"UPDATE \"Simulation\" SET end_time = 'infinity', start_time = NULL WHERE id = %s",
        (endless.number,),
    )
    dotted = yaptide.add_job("mallory", job_id="a.b > *")
    orphan = yaptide.add_job("mallory", job_id="orphan")
    yaptide.db.execute(b'UPDATE "Simulation" SET user_id = NULL WHERE id = %s', (orphan.number,))
    report = (await kerma(*COMMAND, str(url_file), code=4)).json
    assert reasons(report["skipped"]) == {
        ("Simulation", dotted.number): (
            "its job_id has other characters than A-Z a-z 0-9 _ -, or more than 128"
        ),
        ("Simulation", orphan.number): "it belongs to nobody",
    }
    changed = {(note["id"], note["reason"]) for note in report["changed"]}
    assert (banana.number, "title is cut to 2000 characters") in changed
    assert (endless.number, "end_time is not a time between 1970 and 9999") in changed
    assert (endless.number, "has no start_time: it begins now") in changed

    mallory = await kerma_services.login("mallory", PASSWORD)
    status = await mallory.get("/jobs", job_id="large")
    assert status["job_tasks_status"] == expected.tasks(large)
    status = await mallory.get("/jobs", job_id="partial")
    assert status["job_state"] == "COMPLETED"
    assert "6 of 13 primaries" in status["message"]
    assert (await mallory.get("/jobs", job_id="banana"))["job_state"] == "FAILED"


@pytest.mark.parametrize(
    "revision", [schema.OLDEST, schema.CASCADES, schema.NO_KEYS, schema.FILE_NAMES]
)
async def test_earlier_revisions(
    revision: int, kerma_services: Kerma, postgres_child: PostgresChild, tmp_path: Path
) -> None:
    file = tmp_path / "url"
    with fresh_database(postgres_child) as url:
        file.write_text(url)
        old = Yaptide(url, revision)
        old.add_user(f"rev{revision}", PASSWORD)
        fluka = old.add_job(f"rev{revision}", job_id=f"rev{revision}-fluka", sim_type="fluka")
        job = old.add_job(f"rev{revision}", job_id=f"rev{revision}")
        if revision < schema.FILE_NAMES:
            old.db.execute(
                b'UPDATE "Estimator" SET name = (20 + id)::text WHERE simulation_id = %s',
                (fluka.number,),
            )
            old.db.execute(
                b"UPDATE \"Estimator\" SET name = name || '_' WHERE simulation_id = %s",
                (job.number,),
            )
        report = (await kerma(*COMMAND, str(file))).json
        # columns decide, and they do not tell the second revision from the first
        known = schema.STAMPS[schema.OLDEST if revision == schema.CASCADES else revision]
        assert report["revision"] == known
        old.close()
    visitor = await kerma_services.login(f"rev{revision}", PASSWORD)
    for one in (fluka, job):
        shown = await visitor.get("/results", job_id=one.job_id)
        assert shown["estimators"] == expected.results(one)
        listed = await visitor.get("/estimators", job_id=one.job_id)
        assert listed["estimators_metadata"] == expected.estimators(one)


async def test_what_is_not_yaptide_is_refused_in_a_sentence(
    kerma_services: Kerma, yaptide: Yaptide, url_file: Path, postgres_url: str, tmp_path: Path
) -> None:
    yaptide.db.execute(b"UPDATE alembic_version SET version_num = 'ffffffffffff'")
    ran = await kerma(*COMMAND, str(url_file), code=1)
    assert "revision ffffffffffff" in ran.stderr
    yaptide.db.execute(b"DELETE FROM alembic_version")
    yaptide.db.execute(b'ALTER TABLE "Task" DROP COLUMN simulated_primaries')
    ran = await kerma(*COMMAND, str(url_file), code=1)
    assert "Task has no simulated_primaries" in ran.stderr
    own = tmp_path / "own"
    own.write_text(postgres_url)
    assert "no table User" in (await kerma(*COMMAND, str(own), code=1)).stderr
    away = tmp_path / "away"
    away.write_text("postgresql://user:hidden@127.0.0.1:1/yaptide")
    ran = await kerma(*COMMAND, str(away), code=3)
    assert "does not answer" in ran.stderr
    assert "hidden" not in ran.stderr
    assert (await kerma("admin", "import-yaptide", code=2)).code == 2
    ran = await kerma("admin", "import-yaptide", "--database-url", "mysql://h/d", code=1)
    assert "postgresql://" in ran.stderr
