"""Copies fragments and metadata from blobs into rows, from which requests are answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, tuple_

from kerma_common.contracts.events.results import EstimatorMaterialised
from kerma_results.adapters.manifest import decode_pages
from kerma_results.read.models import ESTIMATOR_METADATA, PAGE_FRAGMENT
from kerma_results.read.queries import PART_BYTES

if TYPE_CHECKING:
    from kerma_common.blobs.store import BlobStore
    from kerma_common.contracts.pages import PageMaterialised
    from kerma_common.projection.sink import Transaction


AT_ONCE = 64
"""Fragments that are fetched concurrently."""
TOGETHER_BYTES = 8 << 20
"""Bytes of blobs of the estimators that one transaction writes, unless a single one has more."""
TOGETHER = 64
"""Most estimators that one transaction writes."""


@dataclass(frozen=True, slots=True)
class FragmentRows:
    """The ``prepare`` of the projection: idempotent, with some megabytes in memory at a time.

    Its rows mean nothing until the projection has written the rows of the estimator and its pages.
    They are written behind the fence, since a former leader would otherwise bring deleted pages
    back.
    """

    blobs: BlobStore

    async def prepare(self, events: Sequence[object], fenced: Transaction) -> Sequence[object]:
        """Make rows for all pages; return the events with the pages that their manifests list."""
        listed = {
            place: event
            for place, event in enumerate(events)
            if isinstance(event, EstimatorMaterialised)
        }
        prepared = list(events)
        for group in _groups(listed):
            these = [listed[place] for place in group]
            if these[0].stored_bytes > TOGETHER_BYTES:
                copied: Sequence[EstimatorMaterialised] = [await self._large(these[0], fenced)]
            else:
                copied = await self._copied(these, fenced)
            for place, event in zip(group, copied, strict=True):
                prepared[place] = event
        return prepared

    async def _copied(
        self, events: Sequence[EstimatorMaterialised], fenced: Transaction
    ) -> Sequence[EstimatorMaterialised]:
        loaded = await asyncio.gather(*map(self._loaded, events))
        metadata = [
            {"job_id": event.job_id, "estimator": event.index, "body": body}
            for event, body, _ in loaded
        ]
        rows = [row for _, _, rows in loaded for row in rows]
        keys = [(event.job_id, event.index) for event in events]
        # one transaction: if another process has projected these rows already, they are in use
        async with fenced() as connection:
            for table in (ESTIMATOR_METADATA, PAGE_FRAGMENT):
                of_these = tuple_(table.c.job_id, table.c.estimator).in_(keys)
                await connection.execute(delete(table).where(of_these))
            await connection.execute(insert(ESTIMATOR_METADATA), metadata)
            if rows:
                await connection.execute(insert(PAGE_FRAGMENT), rows)
        return [event for event, _, _ in loaded]

    async def _large(
        self, event: EstimatorMaterialised, fenced: Transaction
    ) -> EstimatorMaterialised:
        """Copy an estimator of many bytes, some of them at a time."""
        metadata = await self.blobs.get(event.metadata_ref)
        pages = await self._pages(event)
        of_estimator = {"job_id": event.job_id, "estimator": event.index}
        async with fenced() as connection:
            for table in (ESTIMATOR_METADATA, PAGE_FRAGMENT):
                await connection.execute(delete(table).filter_by(**of_estimator))
            await connection.execute(
                insert(ESTIMATOR_METADATA), [{**of_estimator, "body": metadata}]
            )
            for group in _groups_of_pages(pages):
                if group[0].fragment_ref.size <= TOGETHER_BYTES:
                    rows = await self._rows(of_estimator, group)
                    await connection.execute(insert(PAGE_FRAGMENT), rows)
                    continue
                of_page = {**of_estimator, "number": group[0].number}
                async for part, body in self._parts(group[0]):
                    row = {**of_page, "part": part, "body": body}
                    await connection.execute(insert(PAGE_FRAGMENT), [row])
        return replace(event, pages=pages)

    async def _parts(self, page: PageMaterialised) -> AsyncIterator[tuple[int, bytes]]:
        """Yield the parts of a large fragment, which is verified after the last."""
        held, part = bytearray(), 0
        async for piece in self.blobs.stream(page.fragment_ref):
            held += piece
            while len(held) >= PART_BYTES:
                yield part, bytes(held[:PART_BYTES])
                del held[:PART_BYTES]
                part += 1
        if held:
            yield part, bytes(held)

    async def _pages(self, event: EstimatorMaterialised) -> tuple[PageMaterialised, ...]:
        if event.manifest_ref is None:
            return event.pages
        return decode_pages(await self.blobs.get(event.manifest_ref))

    async def _loaded(
        self, event: EstimatorMaterialised
    ) -> tuple[EstimatorMaterialised, bytes, list[dict[str, Any]]]:
        """Return the event with all pages, the metadata, and the rows of the fragments."""
        metadata = await self.blobs.get(event.metadata_ref)
        pages = await self._pages(event)
        of_estimator = {"job_id": event.job_id, "estimator": event.index}
        rows = [
            row
            for start in range(0, len(pages), AT_ONCE)
            for row in await self._rows(of_estimator, pages[start : start + AT_ONCE])
        ]
        return replace(event, pages=pages), metadata, rows

    async def _rows(
        self, of_estimator: dict[str, Any], pages: Sequence[PageMaterialised]
    ) -> list[dict[str, Any]]:
        fragments = await asyncio.gather(*(self.blobs.get(page.fragment_ref) for page in pages))
        return [
            {
                **of_estimator,
                "number": page.number,
                "part": part,
                "body": body[start : start + PART_BYTES],
            }
            for page, body in zip(pages, fragments, strict=True)
            for part, start in enumerate(range(0, len(body), PART_BYTES))
        ]


def _groups(events: Mapping[int, EstimatorMaterialised]) -> Iterator[list[int]]:
    """Yield the places of different estimators that are small together, or of a large one."""
    group: list[int] = []
    keys: set[tuple[str, int]] = set()
    size = 0
    for place, event in events.items():
        key, more = (event.job_id, event.index), event.stored_bytes or TOGETHER_BYTES
        if key in keys or len(group) == TOGETHER or (group and size + more > TOGETHER_BYTES):
            yield group
            group, keys, size = [], set(), 0
        group.append(place)
        keys.add(key)
        size += more
    if group:
        yield group


def _groups_of_pages(pages: Sequence[PageMaterialised]) -> Iterator[list[PageMaterialised]]:
    """Yield pages in groups of limited number and size; a larger one is alone."""
    group: list[PageMaterialised] = []
    size = 0
    for page in pages:
        if group and (len(group) == AT_ONCE or size + page.fragment_ref.size > TOGETHER_BYTES):
            yield group
            group, size = [], 0
        group.append(page)
        size += page.fragment_ref.size
    if group:
        yield group
