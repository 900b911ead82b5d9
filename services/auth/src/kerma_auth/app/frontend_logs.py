"""Takes log entries of frontends into the log of the service, a limited number of times."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kerma_auth.domain.frontend_logs import Entry, shown

if TYPE_CHECKING:
    from kerma_auth.app.ports import Throttle

_log = logging.getLogger("kerma.frontend")


@dataclass(frozen=True, slots=True)
class FrontendLogs:
    """Takes log entries."""

    throttle: Throttle

    async def take(self, entries: Sequence[Entry], address: str, user_id: str | None) -> None:
        """Log entries of a user, or of an address. Raises TooManyRequests."""
        await self.throttle.logs(address, user_id)
        for entry in entries:
            said = {"source": shown(entry.source), "detail": shown(entry.detail)}
            fields = {key: text for key, text in said.items() if text}
            if user_id is not None:
                fields["user"] = user_id
            _log.log(entry.level, "%s", shown(entry.message), extra={"frontend": fields})
