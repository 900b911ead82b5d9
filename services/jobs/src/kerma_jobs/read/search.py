"""Search in a user's jobs, newest first, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    DateTime,
    Integer,
    Select,
    Text,
    bindparam,
    func,
    or_,
    select,
    tuple_,
)

from kerma_common.db.connections import Statement
from kerma_common.db.reads import Reads
from kerma_jobs.read.lists import LISTED, ListedJob
from kerma_jobs.read.models import JOB

Place = tuple[datetime, str]
"""Of a job in the list: when it was submitted, and its id."""


@dataclass(frozen=True, slots=True)
class Sought:
    """The jobs to find; None stands for all."""

    states: Sequence[str] | None = None
    engine: str | None = None
    text: str | None = None
    """In the title, or at the beginning of the id."""


_Kind = tuple[bool, bool, bool, bool]
"""Whether states, an engine, a text, a place are given: each makes a statement of its own."""


def _matching(kind: _Kind) -> list[ColumnElement[bool]]:
    by_state, by_engine, by_text, after = kind
    matching = [JOB.c.owner == bindparam("owner"), JOB.c.state.is_not(None)]
    if by_state:
        states: BindParameter[Any] = bindparam("states", type_=ARRAY(Text))
        matching.append(JOB.c.shown_state == func.any(states))
    if by_engine:
        matching.append(JOB.c.engine == bindparam("engine", type_=Text))
    if by_text:
        inside = JOB.c.title.ilike(bindparam("inside", type_=Text), escape="\\")
        first = JOB.c.job_id.like(bindparam("first", type_=Text), escape="\\")
        matching.append(or_(inside, first))
    if after:
        place = tuple_(
            bindparam("time", type_=DateTime(timezone=True)), bindparam("job", type_=Text)
        )
        matching.append(tuple_(JOB.c.submitted_at, JOB.c.job_id) < place)
    return matching


def _page(kind: _Kind) -> Select[Any]:
    return (
        select(*LISTED)
        .where(*_matching(kind))
        .order_by(JOB.c.submitted_at.desc(), JOB.c.job_id.desc())
        .limit(bindparam("limit", type_=Integer))
    )


def _count(kind: _Kind) -> Select[Any]:
    return select(func.count()).select_from(JOB).where(*_matching(kind))


@dataclass(frozen=True, slots=True)
class JobSearch:
    """Queries on the jobs of one user. A page costs the same wherever it is in the list."""

    reads: Reads
    _pages: dict[_Kind, Statement] = field(default_factory=dict, init=False)
    _counts: dict[_Kind, Statement] = field(default_factory=dict, init=False)

    async def page(
        self, owner: str, sought: Sought, after: Place | None, limit: int
    ) -> list[ListedJob]:
        """Return the first jobs that come after a place in the list."""
        chosen = _parameters(owner, sought, after)
        kind = _kind(chosen)
        if kind not in self._pages:
            self._pages[kind] = self.reads.statement(_page(kind))
        rows = await self.reads.all(self._pages[kind], limit=limit, **chosen)
        return [ListedJob(*row) for row in rows]

    async def count(self, owner: str, sought: Sought) -> int:
        """Return how many jobs there are, on all pages."""
        chosen = _parameters(owner, sought, None)
        kind = _kind(chosen)
        if kind not in self._counts:
            self._counts[kind] = self.reads.statement(_count(kind))
        ((number,),) = await self.reads.all(self._counts[kind], **chosen)
        return int(number)


def _parameters(owner: str, sought: Sought, after: Place | None) -> dict[str, Any]:
    chosen: dict[str, Any] = {"owner": owner}
    if sought.states is not None:
        chosen["states"] = list(sought.states)
    if sought.engine is not None:
        chosen["engine"] = sought.engine
    if sought.text is not None:
        escaped = _escaped(sought.text)
        chosen |= {"inside": f"%{escaped}%", "first": f"{escaped}%"}
    if after is not None:
        chosen["time"], chosen["job"] = after
    return chosen


def _kind(chosen: dict[str, Any]) -> _Kind:
    return "states" in chosen, "engine" in chosen, "inside" in chosen, "time" in chosen


def _escaped(text: str) -> str:
    r"""Return a text for LIKE: ``50%`` becomes ``50\%``."""
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
