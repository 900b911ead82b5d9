"""What a read model does not hold: something that does not exist, or that it has yet to hear of.

Who was told that something exists may ask for it at once, of any process and any service. "There is
no such thing" would be wrong then, and clients believe it for ever. So the log decides, which is asked
only when a row is missing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from kerma_common.errors import Unavailable

if TYPE_CHECKING:
    from kerma_common.commands.consistency import Positions
    from kerma_common.contracts.subjects import Subject
    from kerma_common.eventlog.port import EventLog

PATIENCE_SECONDS = 2.0
RETRY_SECONDS = 1.0
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Lateness:
    """Reads of one projection that wait for what the log holds of an aggregate.

    ``subject_of`` returns the subject of an id. Raises ValueError for what can be none.
    """

    log: EventLog
    positions: Positions
    projection: str
    subject_of: Callable[[str], Subject]

    async def find(self, of: str, read: Callable[[], Awaitable[Row | None]]) -> Row | None:
        """Return what ``read`` finds of an id, None if there is nothing to be found.

        Raises Unavailable if the rows are too far behind to tell.
        """
        found = await read()
        if found is None and await self.has_heard(of):
            found = await read()
        return found

    async def has_heard(self, of: str) -> bool:
        """Wait until the rows hold what the log knows of an id; return False if it knows nothing.

        Raises Unavailable if this takes too long.
        """
        try:
            subject = self.subject_of(of)
        except ValueError:
            return False
        seq = await self.log.last_seq(subject)
        if not seq:
            return False
        place = (self.projection, subject.stream, seq)
        if await self.positions.passed(*place):
            return True
        if await self.positions.wait(*place, PATIENCE_SECONDS):
            return True
        raise Unavailable("This is known, but cannot be shown yet; please try again", RETRY_SECONDS)
