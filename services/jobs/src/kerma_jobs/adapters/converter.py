"""Converts submissions in a child process that is replaced when it hangs or dies."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson

from kerma_common.errors import InvalidRequest, Unavailable
from kerma_engines.adapter.packing import decode_inputs
from kerma_engines.adapter.port import InputSet

TIMEOUT_SECONDS = 20.0
ANSWER_LIMIT = 256 << 20


class ProcessConverter:
    """One child at a time; conversions take milliseconds, so they queue."""

    def __init__(self, timeout: float = TIMEOUT_SECONDS) -> None:
        self._timeout = timeout
        self._child: Process | None = None
        self._turn = asyncio.Lock()

    async def from_project(self, engine: str, project: Mapping[str, Any]) -> InputSet:
        """Input set of an editor project. Raises InvalidRequest naming the fields."""
        return await self._ask(engine, "project", "input_json", project)

    async def from_files(self, engine: str, files: Mapping[str, str]) -> InputSet:
        """Input set of user-supplied files. Raises InvalidRequest naming the files."""
        return await self._ask(engine, "files", "input_files", files)

    async def run(self) -> None:
        """Have a child ready before the first submission, and end it with the service."""
        try:
            async with self._turn:
                await self._ready()
            await asyncio.get_running_loop().create_future()
        finally:
            await self._kill()

    async def _ask(
        self, engine: str, kind: str, field: str, payload: Mapping[str, Any]
    ) -> InputSet:
        line = orjson.dumps({"engine": engine, "kind": kind, "payload": payload}) + b"\n"
        async with self._turn:
            child = await self._ready()
            try:
                reply = await asyncio.wait_for(_exchange(child, line), self._timeout)
            except TimeoutError:
                await self._kill()
                raise InvalidRequest(
                    "Wrong data provided",
                    {field: [f"could not be converted within {self._timeout:g} s"]},
                ) from None
            except BaseException:
                # a request that was cut off leaves its answer in the pipe: never reuse the child
                await self._kill()
                raise
            if not reply:
                await self._kill()
                raise Unavailable("The converter ended unexpectedly; please try again")
        answer: dict[str, Any] = orjson.loads(reply)
        if "problems" in answer:
            raise _invalid(field, answer["problems"])
        return decode_inputs(orjson.dumps(answer["inputs"]))

    async def _ready(self) -> Process:
        if self._child is None or self._child.returncode is not None:
            self._child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "kerma_jobs.adapters.conversion_child",
                stdin=PIPE,
                stdout=PIPE,
                limit=ANSWER_LIMIT,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )
        return self._child

    async def _kill(self) -> None:
        if self._child is not None:
            with suppress(ProcessLookupError):
                self._child.kill()
            await self._child.wait()
            self._child = None


async def _exchange(child: Process, line: bytes) -> bytes:
    if child.stdin is None or child.stdout is None:
        raise Unavailable("The converter has no pipes")
    try:
        child.stdin.write(line)
        await child.stdin.drain()
        return await child.stdout.readline()
    except (BrokenPipeError, ConnectionResetError):
        return b""


def _invalid(field: str, problems: list[tuple[str, str]]) -> InvalidRequest:
    fields: dict[str, list[str]] = {}
    for path, reason in problems:
        separator = "" if path.startswith("[") or not path else "."
        reasons = fields.setdefault(f"{field}{separator}{path}", [])
        if reason not in reasons:
            reasons.append(reason)
    return InvalidRequest("Wrong data provided", fields)
