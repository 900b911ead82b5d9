"""Documents refer only to what exists: links, commands, settings."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from kerma_allinone.edge.gateway import GatewaySettings
from kerma_auth.settings import AuthSettings, KeycloakSettings
from kerma_client.cli import app
from kerma_common.contracts import document as contexts
from kerma_common.contracts import registry
from kerma_common.room import RoomSettings
from kerma_common.settings import (
    BlobSettings,
    HttpSettings,
    NatsSettings,
    PgSettings,
    Settings,
    TelemetrySettings,
    UpdateKeySettings,
)
from kerma_jobs.settings import JobsSettings
from kerma_results.settings import ResultsSettings
from kerma_runner.settings import RunnerSettings
from kerma_runner.worker.offers import EnginesSettings
from kerma_runner.worker.settings import WorkerSettings

ROOT = Path(__file__).parents[3]
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("services/*/README.md"),
    ]
)
BLOCKS: tuple[type[Settings], ...] = (
    NatsSettings,
    PgSettings,
    BlobSettings,
    HttpSettings,
    RoomSettings,
    TelemetrySettings,
    UpdateKeySettings,
    AuthSettings,
    KeycloakSettings,
    JobsSettings,
    ResultsSettings,
    RunnerSettings,
    WorkerSettings,
    EnginesSettings,
    GatewaySettings,
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
EVENT = re.compile(
    r"\b(?:Job|Task|Worker|ResultSet|Estimator|Merge|Cluster|User|Credential|Role|Session|SigningKey|UpdateKeys|Tasks)"
    r"[A-Z]\w+"
)
COMMAND = re.compile(r"(?:^|`|\s)\./kerma ([^`\n#|]*)", re.MULTILINE)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def without_code(text: str) -> str:
    """Remove code, in which brackets are not links."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_relative_links_resolve(document: Path) -> None:
    broken = [
        target
        for target in LINK.findall(without_code(document.read_text()))
        if "://" not in target
        and not target.startswith("#")
        and not (document.parent / target.partition("#")[0]).exists()
    ]
    assert broken == []


def test_headings_that_are_linked_to_exist() -> None:
    broken = []
    for document in DOCUMENTS:
        for target in LINK.findall(without_code(document.read_text())):
            path, _, anchor = target.partition("#")
            if anchor and "://" not in target:
                linked = (document.parent / path) if path else document
                headings = re.findall(r"^#+ (.*)$", linked.read_text(), flags=re.MULTILINE)
                if anchor not in {slug(heading) for heading in headings}:
                    broken.append(f"{name_of(document)}: {target}")
    assert broken == []


def slug(heading: str) -> str:
    """Return the anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def commands_in(document: Path) -> list[list[str]]:
    """Return the arguments of every ``./kerma ...`` that a document names."""
    return [shlex.split(found) for found in COMMAND.findall(document.read_text())]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_named_commands_and_their_options_exist(document: Path) -> None:
    group = typer.main.get_command(app)
    unknown = [fault for words in commands_in(document) if (fault := missing(group, words))]
    assert unknown == []


def missing(command: object, words: list[str]) -> str | None:
    """Return what does not exist in a command line, or None."""
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        found = command.commands.get(words[0])
        if found is None:
            return f"{command.name} has no {words[0]}"
        command, words = found, words[1:]
    parameters = getattr(command, "params", [])
    known = {option for parameter in parameters for option in parameter.opts} | {"--help"}
    if getattr(command, "ignore_unknown_options", False):
        return None
    wrong = [word for word in words if word.startswith("--") and word.split("=")[0] not in known]
    return f"{getattr(command, 'name', '?')} has no {', '.join(wrong)}" if wrong else None


def test_a_command_or_option_that_does_not_exist_is_found() -> None:
    group = typer.main.get_command(app)
    assert missing(group, ["admin", "fly"]) == "admin has no fly"
    assert missing(group, ["demo", "--fast"]) == "demo has no --fast"
    assert missing(group, ["admin", "projections", "lag", "--data", "here"]) is None


def test_the_tutorial_and_the_readme_name_commands() -> None:
    assert ["demo"] in commands_in(ROOT / "README.md")
    assert len(commands_in(ROOT / "docs/tutorial.md")) > 5


def test_every_setting_is_documented_and_nothing_else() -> None:
    text = (ROOT / "docs/operations.md").read_text()
    table = text.partition("## Settings")[2].partition("\n## ")[0]
    documented = set(re.findall(r"^\| `(KERMA_\w+)`", table, flags=re.MULTILINE))
    existing = {
        f"{block.model_config['env_prefix']}{field}".upper()
        for block in BLOCKS
        for field in block.model_fields
    }
    assert documented == existing


def test_documented_defaults_are_those_of_the_code() -> None:
    text = (ROOT / "docs/operations.md").read_text()
    for block in BLOCKS:
        for name, field in block.model_fields.items():
            variable = f"{block.model_config['env_prefix']}{name}".upper()
            row = next(line for line in text.splitlines() if line.startswith(f"| `{variable}`"))
            shown = row.split("|")[2].strip()
            if field.is_required():
                assert shown == "required", variable
            elif field.default_factory is None and isinstance(field.default, int | float | str):
                assert shown == f"`{field.default}`", variable


@pytest.mark.parametrize("service", ["auth", "jobs", "runner", "results", "batch-gateway"])
def test_a_service_names_events_that_exist_and_writes_only_its_own(service: str) -> None:
    context = {"batch-gateway": "batch"}.get(service, service)
    known = {kind.name: kind for kind in registry.all_types() if kind.context in contexts.CONTEXTS}
    text = (ROOT / "services" / service / "README.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    named = {name for row in rows for name in EVENT.findall(row)}
    assert named
    assert named <= known.keys()
    for row in rows:
        if row.startswith("| Out |"):
            assert {known[name].context for name in EVENT.findall(row)} == {context}
