"""The command line run in process, as a user runs it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from typer.testing import CliRunner

from kerma_client.cli import app
from kerma_client.exits import outcome


class Ran:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, stdout: str, stderr: str) -> None:
        self.code, self.stdout, self.stderr = code, stdout, stderr

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


def run(*arguments: str, typed: str = "") -> Ran:
    """Run a command and end it as ``kerma_client.cli.main`` does."""
    ran = CliRunner().invoke(app, list(arguments), input=typed)
    if ran.exception is None or isinstance(ran.exception, SystemExit):
        return Ran(ran.exit_code, ran.stdout, ran.stderr)
    found = outcome(ran.exception)
    if found is None:
        raise ran.exception
    return Ran(found[0], ran.stdout, ran.stderr + found[1])


async def kerma(*arguments: str, typed: str = "", code: int = 0) -> Ran:
    """Run a command in a thread: it may not block the loop that serves it."""
    ran = await asyncio.to_thread(run, *arguments, typed=typed)
    assert ran.code == code, (ran.code, ran.stdout, ran.stderr)
    return ran
