"""A client that follows live updates as a browser does: cut off, it goes on where it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
from anyio.from_thread import start_blocking_portal

from kit.programs.family import PATIENCE

PATH = "/v1/jobs/events"
RETRY_SECONDS = 0.2
RANKS = ("PENDING", "RUNNING", "MERGING_QUEUED", "MERGING_RUNNING", "COMPLETED")


@dataclass
class Follower:
    """What a client has heard since it was first told that all before was told."""

    url: str
    cookies: Mapping[str, str]
    connections: int = 0
    last_id: str = ""
    ready: int = 0
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    positions: list[tuple[int, ...]] = field(default_factory=list)

    async def run(self) -> None:
        """Follow until cancelled."""
        async with httpx.AsyncClient(
            base_url=self.url, cookies=dict(self.cookies), timeout=PATIENCE
        ) as client:
            while True:
                with suppress(httpx.TransportError):  # cut off
                    await self._listen(client)
                await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self, client: httpx.AsyncClient) -> None:
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        async with client.stream("GET", PATH, headers=headers) as answer:
            if answer.status_code == 503:  # both are away
                return
            assert answer.status_code == 200, answer.status_code
            self.connections += 1
            async for fields in _events(answer):
                self._hear(fields)

    def _hear(self, fields: dict[str, str]) -> None:
        if "id" in fields:
            self.last_id = fields["id"]
            self.positions.append(tuple(map(int, self.last_id.split("-"))))
        kind = fields["event"]
        if kind == "ready":
            self.ready += 1
        elif self.ready:
            self.told.append((kind, orjson.loads(fields["data"])))

    def jobs(self, state: str = "PENDING") -> set[str]:
        """Return the jobs that were told to be in a state."""
        return set(self.order(state))

    def order(self, state: str) -> list[str]:
        """Return the jobs in the order in which they were first told to be in a state."""
        told = [data["id"] for kind, data in self.told if kind == "job" and data["state"] == state]
        return list(dict.fromkeys(told))

    def check(self) -> None:
        """Check that nothing was told twice, nothing out of order, and nothing left out."""
        assert "reset" not in {kind for kind, _ in self.told}
        states = [orjson.dumps(data) for kind, data in self.told if kind == "job"]
        assert len(states) == len(set(states)), "a state was told twice"
        assert self.positions == sorted(self.positions)
        ranks: dict[str, int] = {}
        for kind, data in self.told:
            if kind == "job":
                state = data["state"]
                rank = RANKS.index(state) if state in RANKS else len(RANKS)
                assert rank >= ranks.get(data["id"], 0)
                ranks[data["id"]] = rank


async def _events(answer: httpx.Response) -> AsyncIterator[dict[str, str]]:
    rest = ""
    async for text in answer.aiter_text():
        *whole, rest = (rest + text).split("\n\n")
        for block in whole:
            fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
            if "event" in fields:
                yield fields


@contextmanager
def following(url: str, cookies: Mapping[str, str]) -> Iterator[Follower]:
    """Follow for the duration of the block, in a thread of its own."""
    follower = Follower(url, cookies)
    with start_blocking_portal() as portal:
        running = portal.start_task_soon(follower.run)
        try:
            yield follower
        finally:
            failed = running.done()
            running.cancel()
        if failed:
            running.result()
