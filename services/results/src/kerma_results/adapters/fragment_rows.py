"""Copies fragments and metadata from blobs into rows, from which requests are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert

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


@dataclass(frozen=True, slots=True)
class FragmentRows:
    """The ``prepare`` of the projection: idempotent, with one estimator in memory at a time.

    Its rows mean nothing until the projection has written the rows of the estimator and its pages.
    They are written behind the fence, since a former leader would otherwise bring deleted pages
    back.
    """

    blobs: BlobStore

    async def prepare(self, events: Sequence[object], fenced: Transaction) -> Sequence[object]:
        """Make rows for all pages; return the events with the pages that their manifests list."""
        return [
            await self._copied(event, fenced) if isinstance(event, EstimatorMaterialised) else event
            for event in events
        ]

    async def _copied(
        self, event: EstimatorMaterialised, fenced: Transaction
    ) -> EstimatorMaterialised:
        metadata = await self.blobs.get(event.metadata_ref)
        pages = event.pages
        if event.manifest_ref is not None:
            pages = decode_pages(await self.blobs.get(event.manifest_ref))
        of_estimator = {"job_id": event.job_id, "estimator": event.index}
        rows = [
            row
            for start in range(0, len(pages), AT_ONCE)
            for row in await self._rows(of_estimator, pages[start : start + AT_ONCE])
        ]
        # one transaction: if another process has projected these rows already, they are in use
        async with fenced() as connection:
            for table in (ESTIMATOR_METADATA, PAGE_FRAGMENT):
                await connection.execute(delete(table).filter_by(**of_estimator))
            await connection.execute(
                insert(ESTIMATOR_METADATA), [{**of_estimator, "body": metadata}]
            )
            if rows:
                await connection.execute(insert(PAGE_FRAGMENT), rows)
        return replace(event, pages=pages)

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
