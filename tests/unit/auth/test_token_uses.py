"""Notes of used API tokens: a fault of the database ends no service."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from sqlalchemy.exc import OperationalError

from kerma_auth.adapters.token_labels import StoredLabels, UseRecorder
from kerma_common.security.api_tokens import TokensUsed


class Labels:
    """A table that is away for the first write."""

    def __init__(self) -> None:
        self.tries: list[list[str]] = []
        self.tried = asyncio.Event()

    async def used(self, token_ids: Sequence[str]) -> None:
        self.tries.append(list(token_ids))
        self.tried.set()
        if len(self.tries) == 1:
            raise OperationalError("UPDATE", {}, Exception("the connection is lost"))


async def test_uses_are_written_again_after_a_fault_of_the_database() -> None:
    labels = Labels()
    recorder = UseRecorder(cast(StoredLabels, labels))
    task = asyncio.ensure_future(recorder.run())
    for name in ("a", "b"):
        recorder._note(TokensUsed((name,)))
        async with asyncio.timeout(30):
            await labels.tried.wait()
        labels.tried.clear()
    task.cancel()
    assert labels.tries == [["a"], ["b"]]
