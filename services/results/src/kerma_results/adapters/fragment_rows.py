"""Copies fragments and metadata from blobs into rows, where answers are served from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert

from kerma_common.contracts.results import EstimatorMaterialised
from kerma_results.read.models import ESTIMATOR_METADATA, PAGE_FRAGMENT
from kerma_results.read.queries import PART_BYTES

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from kerma_common.blobs.store import BlobStore


@dataclass(frozen=True, slots=True)
class FragmentRows:
    """The ``prepare`` of the projection: idempotent, one estimator in memory at a time.

    Its rows mean nothing until the projection has written those of the estimator and its pages.
    """

    db: AsyncEngine
    blobs: BlobStore

    async def prepare(self, events: Sequence[object]) -> None:
        """Rows for every materialised estimator among ``events``."""
        for event in events:
            if isinstance(event, EstimatorMaterialised):
                await self._copy(event)

    async def _copy(self, event: EstimatorMaterialised) -> None:
        metadata, *fragments = await asyncio.gather(
            self.blobs.get(event.metadata_ref),
            *(self.blobs.get(page.fragment_ref) for page in event.pages),
        )
        of_estimator = {"job_id": event.job_id, "estimator": event.index}
        rows: list[dict[str, Any]] = [
            {
                **of_estimator,
                "number": page.number,
                "part": part,
                "body": body[start : start + PART_BYTES],
            }
            for page, body in zip(event.pages, fragments, strict=True)
            for part, start in enumerate(range(0, len(body), PART_BYTES))
        ]
        async with self.db.begin() as connection:
            for table in (ESTIMATOR_METADATA, PAGE_FRAGMENT):
                await connection.execute(delete(table).filter_by(**of_estimator))
            await connection.execute(
                insert(ESTIMATOR_METADATA), [{**of_estimator, "body": metadata}]
            )
            if rows:
                await connection.execute(insert(PAGE_FRAGMENT), rows)
