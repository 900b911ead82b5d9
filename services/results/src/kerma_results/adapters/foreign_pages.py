"""Pages that another system stored as JSON: kept as they are, and made readable as arrays.

Their JSON is that of ``pages.json_page``, without errors and edges. It may be anything: what does not
fit becomes a page without axes, or without numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kerma_common.contracts.pages import PageMaterialised
from kerma_common.contracts.refs import Ref
from kerma_engines.results.estimators import Axis, Binning, MergeClass, Page
from kerma_results.adapters import manifest
from kerma_results.adapters.page_blobs import FRAGMENT_MEDIA, JSON_MEDIA
from kerma_results.domain.commands import MaterialiseEstimator
from kerma_results.pages import arrays
from kerma_results.pages.stitch import make_fragment

if TYPE_CHECKING:
    from kerma_engines.results.estimators import FloatArray

Blob = tuple[bytes, str]
"""Content and media type."""
NAME_CHARACTERS = 200
HEAD_BYTES = 2048
"""Bytes of an estimator in an event without its pages, at most."""


@dataclass(frozen=True, slots=True)
class ForeignPage:
    """A page as JSON text and as a parsed object; number, name and dimension are those to show."""

    number: int
    name: str
    dimension: int
    text: bytes
    parsed: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """An estimator to record once its blobs are stored, and the bytes that it takes in an event."""

    command: MaterialiseEstimator
    size: int


def prepare_page(page: ForeignPage) -> tuple[PageMaterialised, list[Blob]]:
    """Return a page with references to two blobs, which are not stored yet."""
    found = _page(page)
    fragment = make_fragment(page.text)
    blobs = [(arrays.encode_page(found), arrays.MEDIA), (fragment.body, FRAGMENT_MEDIA)]
    array_ref, fragment_ref = map(ref_of, blobs)
    materialised = PageMaterialised(
        number=page.number,
        name=found.name,
        unit=found.unit,
        dimension=page.dimension,
        shape=found.shape,
        array_ref=array_ref,
        fragment_ref=fragment_ref,
        crc32=fragment.crc32,
        raw_size=fragment.raw_size,
    )
    return materialised, blobs


def prepare_estimator(
    index: int, name: str, metadata: bytes, pages: Sequence[PageMaterialised]
) -> tuple[Prepared, list[Blob]]:
    """Return an estimator of prepared pages, and its own blobs."""
    blobs: list[Blob] = [(metadata, JSON_MEDIA)]
    listed = manifest.encode_pages(tuple(pages))
    size = HEAD_BYTES + len(listed)
    stored = len(metadata) + sum(p.array_ref.size + p.fragment_ref.size for p in pages)
    manifest_ref = None
    if len(listed) > manifest.INLINE_BYTES:
        blobs.append((listed, manifest.MEDIA))
        manifest_ref = ref_of(blobs[-1])
        stored, pages, size = stored + manifest_ref.size, (), HEAD_BYTES
    command = MaterialiseEstimator(
        index, name[:NAME_CHARACTERS], ref_of(blobs[0]), tuple(pages), manifest_ref, stored
    )
    return Prepared(command, size), blobs


def ref_of(blob: Blob) -> Ref:
    """Return the reference of a blob to be stored."""
    body, media = blob
    return Ref(hashlib.sha256(body).hexdigest(), len(body), media)


def _page(page: ForeignPage) -> Page:
    data = _object(page.parsed.get("data"))
    values = _numbers(data.get("values"))
    axes = _axes(page.parsed)
    if np.prod([axis.n for axis in axes], dtype=float) != values.size:
        axes = ()
    unit = _text(data.get("unit"))
    # YAPTIDE averages every quantity
    return Page(page.number, _text(page.name), unit, MergeClass.MEAN, axes, values)


def _axes(parsed: Mapping[str, Any]) -> tuple[Axis, ...]:
    axes = []
    for number in (1, 2, 3):
        found = _object(parsed.get(f"axis_dim{number}"))
        centres = _numbers(found.get("values"))
        if centres.size > 1:
            edges, binning = _edges(centres)
            axes.append(Axis(_text(found.get("name")), _text(found.get("unit")), edges, binning))
    return tuple(axes)


def _edges(centres: FloatArray) -> tuple[FloatArray, Binning]:
    """Return the edges of at least two bins whose centres are known."""
    if np.all(centres > 0) and _even(logs := np.log(centres)) and not _even(centres):
        return np.exp(_between(logs)), Binning.LOG
    return _between(centres), Binning.LINEAR


def _even(centres: FloatArray) -> bool:
    steps = np.diff(centres)
    return bool(np.allclose(steps, steps[0], rtol=1e-6, atol=0))


def _between(centres: FloatArray) -> FloatArray:
    half = np.diff(centres) / 2
    edges = [centres[0] - half[0], *(centres[:-1] + half), centres[-1] + half[-1]]
    return np.array(edges, dtype=np.float64)


def _numbers(values: object) -> FloatArray:
    try:
        found = np.array(values if isinstance(values, list) else [], dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        return np.empty(0)
    return found if found.ndim == 1 else np.empty(0)


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    """Return a text that the database can hold."""
    if not isinstance(value, str):
        return ""
    kept = value[:NAME_CHARACTERS].replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return kept.encode(errors="replace").decode()
