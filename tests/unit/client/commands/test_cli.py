"""The command line as a whole: its name, and its help without the developers' tools."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from kerma_client.cli import TOOL_COMMANDS, add_tools, main
from kerma_client.commands import admin


@pytest.mark.parametrize(
    ("arguments", "status"), [(["--help"], 0), (["jobs", "--fast"], 2), (["fly"], 2)]
)
def test_help_and_errors_call_the_program_kerma(
    arguments: list[str],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/kerma_client/cli.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    shown = "".join(capsys.readouterr())
    assert ended.value.code == status
    assert "Usage: kerma " in shown
    assert "kerma_client" not in shown


@pytest.mark.parametrize("name", TOOL_COMMANDS)
def test_an_installed_kerma_says_that_tools_need_a_clone(name: str) -> None:
    app = typer.Typer()
    app.command("up")(lambda: None)
    add_tools(app, "no_such_package")
    done = CliRunner().invoke(app, [name, "unit", "--lf"])
    assert done.exit_code == 1
    assert f"run ./kerma {name} in a clone" in done.output


def test_a_clone_has_all_the_tools() -> None:
    app = typer.Typer()
    add_tools(app)
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    assert set(group.commands) == set(TOOL_COMMANDS)


def test_a_command_imports_only_what_it_needs() -> None:
    """What ``kerma up`` has imported stays in memory for as long as it runs."""
    heavy = ("httpx", "numpy", "rich", "kerma_engines")
    code = f"import sys, kerma_client.cli; sys.exit(str([m for m in {heavy} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == "[]\n"


def _commands(group: TyperGroup, path: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield all commands below a group, with their options."""
    for name, command in group.commands.items():
        whole = f"{path} {name}".strip()
        if isinstance(command, TyperGroup):
            yield from _commands(command, whole)
        else:
            yield whole, [option for given in command.params for option in given.opts]


def test_every_command_of_operators_has_json() -> None:
    commands = typer.main.get_command(admin.app)
    assert isinstance(commands, TyperGroup)
    found = dict(_commands(commands))
    assert {"batch-input", "users list", "projections lag"} <= found.keys()
    assert [name for name, options in found.items() if "--json" not in options] == []
