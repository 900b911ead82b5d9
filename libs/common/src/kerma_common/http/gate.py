"""The gate in front of a service's routes: closed while its read models are behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kerma_common.http.refusals.forms import refusal

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from kerma_common.projection.catch_up import CatchUp

PATIENCE_SECONDS = 1.0
"""Seconds a request waits before it gets 503: most start-ups are over by then."""
RETRY_AFTER = "1"
_INTERNAL = "/internal/"


class Gate:
    """Layer that holds requests until ``catch_up`` is done; health and metrics always pass."""

    def __init__(self, app: ASGIApp, catch_up: CatchUp) -> None:
        self._app = app
        self._catch_up = catch_up

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        open_ = self._catch_up.done or scope["type"] != "http"
        if not open_ and not scope["path"].startswith(_INTERNAL):
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._catch_up.wait()
            except TimeoutError:
                await self._refusal()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self) -> Response:
        progress = {f"{lag.projection}.{lag.stream}": str(lag) for lag in self._catch_up.behind}
        return refusal(
            "unavailable",
            503,
            "The data is being made ready; try again",
            headers={"Retry-After": RETRY_AFTER},
            progress=progress,
        )
