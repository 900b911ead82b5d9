"""No command prints text from users, engines or strangers that could alter a terminal.

Every command of the command line must be listed in one of the two tables below.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import typer

from kerma_allinone.admin import jobs as all_jobs_of
from kerma_allinone.admin import keys as signing
from kerma_allinone.admin import logins as logins_of
from kerma_allinone.admin import story
from kerma_allinone.admin import system as operators
from kerma_allinone.admin import users as accounts
from kerma_allinone.admin import yaptide as old
from kerma_allinone.yaptide.report import Note, Report
from kerma_client import cli
from kerma_client.client import KermaClient
from kerma_client.commands import admin, auth, jobs, offers
from kerma_client.commands.operators import all_jobs, keys, logins, mending, users, yaptide

NASTY = "a\x1b[31m\x1b]0;title\x07\x9b2J\rb\u202ec\u2028d\udc9b"
"""Colours, a window title, a C1 control sequence, overwriting, right-to-left text."""
ARGUMENTS: dict[str, list[str]] = {
    "run": ["PROJECT"],
    "submit": ["PROJECT"],
    "jobs": [],
    "results": ["JOB"],
    "cancel": ["JOB"],
    "story": ["JOB"],
    "engines read": ["PROJECT"],
    "engines merge": ["PROJECT"],
    "engines convert": ["PROJECT", "--engine", "ENGINE", "--out", "PROJECT"],
    "engines list": [],
    "admin streams apply": [],
    "admin projections lag": [],
    "admin projections rebuild": ["NAME"],
    "admin projections replay": ["NAME", "NAME", "--aggregate", "NAME"],
    "admin projections quarantine": [],
    "admin projections skip": ["NAME", "NAME", "--aggregate", "NAME", "--reason", "NAME"],
    "admin processes parked": [],
    "admin processes retry": ["NAME", "NAME"],
    "admin processes drop": ["NAME", "NAME", "--reason", "NAME"],
    "admin poison": [],
    "admin audit": [],
    "admin add-cluster": ["NAME"],
    "admin list-clusters": [],
    "admin remove-cluster": ["NAME"],
    "admin import-yaptide": ["--database-url", "postgresql://host/database"],
    "auth token create": ["label"],
    "auth token list": [],
    "auth token revoke": ["NAME"],
    "auth sessions list": [],
    "auth sessions end": ["NAME"],
    "admin keys list": [],
    "admin users list": [],
    "admin users add": ["NAME"],
    "admin users reset-password": ["NAME"],
    "admin users disable": ["NAME"],
    "admin users enable": ["NAME"],
    "admin users grant": ["NAME", "NAME"],
    "admin users revoke": ["NAME", "NAME"],
    "admin users remove": ["NAME", "--with-jobs"],
    "admin sessions list": [],
    "admin sessions end": ["NAME"],
    "admin tokens list": ["NAME"],
    "admin tokens revoke": ["NAME", "NAME"],
    "admin jobs list": [],
    "admin jobs show": ["NAME"],
    "admin jobs cancel": ["NAME"],
    "admin jobs remove": ["NAME"],
    "admin tasks list": ["NAME"],
}
PLAIN = {
    "run",
    "jobs",
    "cancel",
    "engines read",
    "engines merge",
    "engines convert",
    "auth token create",
    "auth token revoke",
}
"""These have no --json; every command of operators has it."""
AS_JSON = tuple(name for name in ARGUMENTS if name not in PLAIN)
OTHERS = {
    "demo",
    "up",
    "serve",
    "auth password",
    "admin keys rotate",
    "admin batch-input",
    "admin gateway-config",
    "admin revoke-update-keys",
    "admin update-key",
    "test",
    "lint",
    "bench",
    "generate",
}
"""These print only their own text; both streams are filtered for them as well."""


class Nasty(str):
    """A text whose every attribute and part is hostile."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: object, **__: object) -> Nasty:
        return self

    def __format__(self, _: str) -> str:
        return str(self)


def answer(request: httpx.Request) -> httpx.Response:
    """Answer any request, with hostile text wherever text may be."""
    page = {
        "data": {"name": NASTY, "unit": NASTY, "values": [1.0], "errors": [0.1]},
        "metadata": {"page_number": "0", "name": NASTY},
        "dimensions": 0,
    }
    job = {
        "id": NASTY,
        "title": f"{NASTY}\nCOMPLETED",
        "state": NASTY,
        "submitted_at": "2026-11-22T12:00:00.000Z",
        "ended_at": None,
        "input_type": "project",
        "engine": NASTY,
        "engine_version": NASTY,
        "engine_asked_for": "shieldhit",
    }
    installed = {"version": NASTY, "digest": NASTY, "workers": 1, "slots": 1, "sandboxes": [NASTY]}
    counts = {"workers": 1, "slots": 1}
    estimator = {"number": 0, "name": NASTY, "metadata": {}}
    body: dict[str, Any] = {
        **estimator,
        "pages": [page],
        "message": NASTY,
        "detail": NASTY,
        "id": NASTY,
        "state": NASTY,
        "token": NASTY,
        "expires_at": "2026-11-22T12:00:00.000Z",
    }
    lists = {
        "results": [{**estimator, "pages": []}],
        "jobs": [job],
        "tokens": [
            {
                "id": NASTY,
                "label": NASTY,
                "roles": [],
                "created_at": "2026-11-22T12:00:00.000Z",
                "expires_at": "2026-11-22T12:00:00.000Z",
                "last_used_at": None,
            },
        ],
        "sessions": [
            {
                "id": NASTY,
                "current": True,
                "last_used_at": "2026-11-22T12:00:00.000Z",
                "expires_at": "2026-11-22T12:00:00.000Z",
            },
        ],
        "engines": [
            {"name": NASTY, **counts, "installations": [installed], "substitute": None},
            {"name": NASTY, **counts, "installations": [], "substitute": NASTY},
        ],
    }
    last = request.url.path.rpartition("/")[2]
    if request.method == "GET" and last in lists:
        body = {"items": lists[last], "next": None, "total": 1}
    content = ascii_json(body)
    return httpx.Response(200, content=content, headers={"content-type": "application/json"})


def ascii_json(body: object) -> bytes:
    import json

    return json.dumps(body).encode()


@pytest.fixture(autouse=True)
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request that commands make gets an answer full of hostile text."""

    def connect(_data: Path) -> KermaClient:
        return KermaClient("http://kerma", transport=httpx.MockTransport(answer))

    async def rows(*_: object, **__: object) -> Any:
        return [Nasty(NASTY)]

    async def pairs(*_: object) -> Any:
        return [(Nasty(NASTY), Nasty(NASTY))]

    async def rebuilt(*_: object) -> Any:
        return [SimpleNamespace(table=NASTY, before=1, after=1, equal=True)]

    async def skipped(*_: object) -> tuple[Nasty, Nasty]:
        return Nasty(NASTY), Nasty(NASTY)

    async def tell(*_: object, **__: object) -> list[str]:
        return [f'"{NASTY}"']

    for module in (jobs, offers):
        monkeypatch.setattr(module, "connect", connect)
    monkeypatch.setattr(auth, "log_in", connect)

    async def text(*_: object) -> str:
        return NASTY

    for name in ("disable", "enable", "grant", "revoke", "add", "reset_password"):
        monkeypatch.setattr(accounts, name, text)

    async def one(*_: object) -> Any:
        return Nasty(NASTY)

    async def named(*_: object) -> dict[str, str]:
        return {NASTY: NASTY}

    async def shown_job(*_: object) -> Any:
        return SimpleNamespace(job=nasty(all_jobs.LINE), tasks=[nasty(all_jobs.TASK)])

    async def lines(*_: object) -> Any:
        return [nasty(all_jobs.LINE)]

    def nasty(names: tuple[str, ...]) -> SimpleNamespace:
        return SimpleNamespace(
            **dict.fromkeys((*names, *all_jobs.OF.values(), "index"), Nasty(NASTY))
        )

    for module, names in (
        (accounts, ("id_of", "remove")),
        (logins_of, ("end", "revoke")),
        (all_jobs_of, ("cancel", "remove", "count")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, one)
    monkeypatch.setattr(accounts, "names", named)
    monkeypatch.setattr(all_jobs_of, "shown", shown_job)
    for name in ("sessions", "tokens"):
        monkeypatch.setattr(logins_of, name, rows)
    monkeypatch.setattr(all_jobs_of, "listed", lines)
    for shown_by in (accounts, signing):
        monkeypatch.setattr(shown_by, "listed", rows)

    async def take_over(_url: str, report: Report, *_: object, **__: object) -> str:
        report.found[NASTY] = 1
        report.skip(Note(NASTY, 1, NASTY))
        report.change(Note(NASTY, 1, NASTY))
        return NASTY

    monkeypatch.setattr(old, "take_over", take_over)
    for module in (jobs, admin, mending, users, keys, yaptide, logins, all_jobs):
        monkeypatch.setattr(module, "use_settings", lambda _: None)
    for name in ("apply", "lags", "quarantined", "poison", "audited", "clusters", "replay"):
        monkeypatch.setattr(operators, name, rows)
    for name in ("retry", "drop", "add_cluster", "remove_cluster"):
        monkeypatch.setattr(operators, name, rows)
    monkeypatch.setattr(operators, "parked", pairs)
    monkeypatch.setattr(operators, "rebuild_service", rebuilt)
    monkeypatch.setattr(operators, "skip", skipped)
    monkeypatch.setattr(story, "tell", tell)


def leaves(group: typer.core.TyperGroup, above: str = "") -> Iterator[str]:
    """Return every command, by its path."""
    for name, command in group.commands.items():
        path = f"{above} {name}".strip()
        if isinstance(command, typer.core.TyperGroup):
            yield from leaves(command, path)
        else:
            yield path


def test_every_command_is_looked_at() -> None:
    whole = typer.main.get_command(cli.app)
    assert isinstance(whole, typer.core.TyperGroup)
    assert set(leaves(whole)) == set(ARGUMENTS) | OTHERS


def shown(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *line: str) -> str:
    """Return what a command prints, to both streams."""
    monkeypatch.setattr(sys, "argv", ["kerma", *line])
    with pytest.raises(SystemExit):
        cli.main()
    return "".join(capfd.readouterr())


@contextmanager
def project(folder: Path) -> Iterator[Path]:
    """A file with a hostile name whose content can't be read."""
    path = folder / NASTY.replace("/", "")
    path.write_text('{"beam": ')
    yield path


@pytest.mark.parametrize(
    ("command", "as_json"),
    [*((name, False) for name in ARGUMENTS), *((name, True) for name in AS_JSON)],
)
def test_no_control_character_reaches_the_terminal(
    command: str,
    as_json: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with project(tmp_path) as path:
        nasty = {"PROJECT": str(path), "JOB": NASTY, "NAME": NASTY, "ENGINE": NASTY}
        arguments = [nasty.get(word, word) for word in ARGUMENTS[command]]
        out = shown(monkeypatch, capfd, *command.split(), *arguments, *["--json"] * as_json)
    assert out
    assert [c for c in out if not c.isprintable() and c != "\n"] == []
    assert "\\x1b" in out or "\\u001b" in out


@pytest.mark.parametrize(
    "line", [["results", "JOB"], ["results", "JOB", "--json"], ["cancel", "JOB"]]
)
def test_answers_about_a_job_are_filtered(
    line: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    out = shown(monkeypatch, capfd, *line)
    assert "\\x1b[31m" in out or "\\u001b[31m" in out
    assert [c for c in out if not c.isprintable() and c != "\n"] == []


def test_a_title_with_line_ends_is_no_second_job(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = shown(monkeypatch, capfd, "jobs").splitlines()
    assert not any(line.startswith("COMPLETED") for line in lines)


@pytest.mark.parametrize("line", [[NASTY], ["jobs", NASTY], ["jobs", f"--{NASTY}"]])
def test_usage_errors_are_filtered_too(
    line: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    out = shown(monkeypatch, capfd, *line)
    assert "\\x1b" in out
    assert [c for c in out if not c.isprintable() and c != "\n"] == []


def test_the_streams_cannot_be_bypassed_by_their_buffer() -> None:
    from kerma_client.terminal import PlainStream, plain_streams

    with plain_streams():
        assert isinstance(sys.stdout, PlainStream)
        assert not hasattr(sys.stdout, "buffer")
    assert not isinstance(sys.stdout, PlainStream)
