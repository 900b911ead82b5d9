"""Merged pages as blobs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kerma_common.contracts.pages import PageMaterialised
from kerma_results.adapters import manifest
from kerma_results.app.ports import KeptPages
from kerma_results.pages.json_page import page_json
from kerma_results.pages.stitch import Fragment, make_fragment

if TYPE_CHECKING:
    from kerma_common.blobs.store import BlobStore
    from kerma_common.contracts.refs import Ref
    from kerma_engines.results.estimators import Estimator, Page

FRAGMENT_MEDIA = "application/vnd.kerma.page+deflate"
JSON_MEDIA = "application/json"
AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class PageBlobs:
    """Encodes a few pages at a time, in threads: compression releases the GIL."""

    blobs: BlobStore
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def keep_pages(self, estimator: Estimator) -> KeptPages:
        """See ``PageStore``."""
        pages = tuple(await asyncio.gather(*map(self._keep, estimator.pages)))
        listed = manifest.encode_pages(pages)
        stored = sum(page.array_ref.size + page.fragment_ref.size for page in pages)
        if len(listed) <= manifest.INLINE_BYTES:
            return KeptPages(pages, None, stored)
        manifest_ref = await self.blobs.put(listed, manifest.MEDIA)
        return KeptPages((), manifest_ref, stored + manifest_ref.size)

    async def keep_metadata(self, body: bytes) -> Ref:
        """See ``PageStore``."""
        return await self.blobs.put(body, JSON_MEDIA)

    async def _keep(self, page: Page) -> PageMaterialised:
        async with self._slots:
            binary, fragment, media = await asyncio.to_thread(_encode, page)
            array_ref = await self.blobs.put(binary, media)
            fragment_ref = await self.blobs.put(fragment.body, FRAGMENT_MEDIA)
        return PageMaterialised(
            number=page.number,
            name=page.name,
            unit=page.unit,
            dimension=len(page.axes),
            shape=page.shape,
            array_ref=array_ref,
            fragment_ref=fragment_ref,
            crc32=fragment.crc32,
            raw_size=fragment.raw_size,
        )


def _encode(page: Page) -> tuple[bytes, Fragment, str]:
    """Return the page's arrays, its fragment, and the media type of the arrays."""
    from kerma_results.pages import arrays  # not before there are results: numpy takes much memory

    return arrays.encode_page(page), make_fragment(page_json(page)), arrays.MEDIA
