"""Stores what a delivered body holds, page by page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import orjson

from kerma_common.contracts.pages import PageMaterialised
from kerma_results.adapters import manifest
from kerma_results.adapters.deliveries.messages import NUMBERS
from kerma_results.adapters.page_blobs import FRAGMENT_MEDIA, JSON_MEDIA
from kerma_results.app.ports import KeptEstimator, KeptPages
from kerma_results.pages.delivered import page_pieces

if TYPE_CHECKING:
    from kerma_common.blobs.store import BlobStore
    from kerma_common.contracts.refs import Ref
    from kerma_results.adapters.deliveries.client import ConfinedBody
    from kerma_results.adapters.deliveries.drafts import PageDraft
    from kerma_results.adapters.deliveries.messages import DescribedEstimator, DescribedPage

_DRAFTS = "kerma_results.adapters.deliveries.drafts"
"""What encodes pages: with numpy, it takes memory and time that a start can do without."""
PAGES_AT_ONCE = 3
"""Pages that are encoded or stored at a time; each holds a few megabytes."""
HELD_NUMBERS = 4 * NUMBERS
"""Numbers of a page that are held, 4 MiB."""
INLINE_BYTES = 32 << 10
"""Most bytes of all lists of pages that the events of one commit hold themselves. Two hundred
estimators with the longest names take 210 of its 256 KiB."""


Part = tuple[str, bytes, bool]
"""JSON without an array's name, or numbers of an array and whether they are its first."""


@dataclass(frozen=True, slots=True)
class DeliveredPages:
    """Adapter of ``DeliveryStore``."""

    blobs: BlobStore

    async def keep(self, body: ConfinedBody) -> AsyncIterator[KeptEstimator]:
        """See ``DeliveryStore``."""
        room = INLINE_BYTES
        # in a thread, since requests would wait for it
        await asyncio.to_thread(import_module, _DRAFTS)
        async for index, estimator in body.estimators():
            written = orjson.dumps(estimator.metadata, option=orjson.OPT_SORT_KEYS)
            metadata_ref = await self.blobs.put(written, JSON_MEDIA)
            kept = await self._pages(body, index, estimator, room)
            if kept.manifest_ref is None:
                room -= len(manifest.encode_pages(kept.pages))
            yield KeptEstimator(estimator.name, metadata_ref, kept)

    async def _pages(
        self, body: ConfinedBody, index: int, estimator: DescribedEstimator, room: int
    ) -> KeptPages:
        from kerma_results.adapters.deliveries.drafts import PageDraft

        slots = asyncio.Semaphore(PAGES_AT_ONCE)
        storing: list[asyncio.Task[PageMaterialised]] = []
        async with asyncio.TaskGroup() as group:
            for place in range(estimator.pages):
                await slots.acquire()
                page = await body.page(index, place)
                draft = PageDraft(page)
                held = await self._fetched(body, index, place, page, draft)
                task = group.create_task(self._store(draft, page, held))
                task.add_done_callback(lambda _: slots.release())
                storing.append(task)
        pages = tuple(task.result() for task in storing)
        stored = sum(page.array_ref.size + page.fragment_ref.size for page in pages)
        listed = manifest.encode_pages(pages)
        if len(listed) <= room:
            return KeptPages(pages, None, stored)
        ref = await self.blobs.put(listed, manifest.MEDIA)
        return KeptPages((), ref, stored + ref.size)

    async def _fetched(
        self, body: ConfinedBody, index: int, place: int, page: DescribedPage, draft: PageDraft
    ) -> list[Part]:
        """Fetch the numbers of a page; return what is not encoded yet.

        A large page is encoded as its numbers come. The process answers one call at a time, so a
        small one is encoded while the next is fetched.
        """
        small = sum(page.arrays.values()) <= HELD_NUMBERS
        held: list[Part] = []
        async for part in self._parts(body, index, place, page):
            held.append(part)
            if not small:
                await asyncio.to_thread(_encode, draft, held)
                held.clear()
        return held

    async def _parts(
        self, body: ConfinedBody, index: int, place: int, page: DescribedPage
    ) -> AsyncIterator[Part]:
        for piece in page_pieces(page.members, page.arrays):
            if isinstance(piece, bytes):
                yield "", piece, False
                continue
            size = page.arrays[piece.array]
            for start in range(0, size, NUMBERS):
                raw = await body.numbers(index, place, piece.array, start, size)
                yield piece.array, raw, not start

    async def _store(
        self, draft: PageDraft, page: DescribedPage, held: list[Part]
    ) -> PageMaterialised:
        from kerma_results.pages.arrays import MEDIA

        try:
            await asyncio.to_thread(_finish, draft, held)
            array_ref = await self.blobs.put(draft.arrays, MEDIA)
            fragment_ref = await self.blobs.put(draft.fragment, FRAGMENT_MEDIA)
        finally:
            draft.close()
        return _materialised(draft, page, array_ref, fragment_ref)


def _finish(draft: PageDraft, held: list[Part]) -> None:
    _encode(draft, held)
    draft.finish()


def _encode(draft: PageDraft, parts: list[Part]) -> None:
    for array, raw, first in parts:
        if array:
            draft.numbers(array, raw, first=first)
        else:
            draft.text(raw)


def _materialised(
    draft: PageDraft, page: DescribedPage, array_ref: Ref, fragment_ref: Ref
) -> PageMaterialised:
    return PageMaterialised(
        number=page.number,
        name=page.name,
        unit=page.unit,
        dimension=len(page.shape),
        shape=page.shape,
        array_ref=array_ref,
        fragment_ref=fragment_ref,
        crc32=draft.crc32,
        raw_size=draft.raw_size,
    )
