"""Manifests: blobs that list the stored pages of an estimator with many of them.

A JSON array of ``PageMaterialised``: a commit has room for some hundred of them only.
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
    """The list as JSON; the same bytes for the same pages."""
    return _PAGES.dump_json(pages)


def decode_pages(body: bytes) -> Pages:
    """The list of a manifest. Raises ValueError when it is none."""
    return _PAGES.validate_json(body)
