"""Manifests: blobs that list the stored pages of an estimator with many pages.

A manifest is a JSON array of ``PageMaterialised``. A commit has room for only some hundred of them.
"""

from __future__ import annotations

from pydantic import TypeAdapter

from kerma_common.contracts.pages import PageMaterialised

MEDIA = "application/vnd.kerma.pages+json"
INLINE_BYTES = 64 * 1024
"""Longest list that an event holds itself: a quarter of the largest commit."""

Pages = tuple[PageMaterialised, ...]
_PAGES: TypeAdapter[Pages] = TypeAdapter(Pages)


def encode_pages(pages: Pages) -> bytes:
    """Return the list as JSON; equal pages give equal bytes."""
    return _PAGES.dump_json(pages)


def decode_pages(body: bytes) -> Pages:
    """Return the list in a manifest. Raises ValueError when the bytes are not a manifest."""
    return _PAGES.validate_json(body)
