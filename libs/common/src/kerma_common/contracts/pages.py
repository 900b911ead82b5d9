"""Metadata of a stored page."""

from __future__ import annotations

from dataclasses import dataclass

from kerma_common.contracts.refs import Ref


@dataclass(frozen=True, slots=True)
class PageMaterialised:
    """One merged page.

    ``array_ref`` holds the arrays (values, errors) as float64. ``fragment_ref`` holds the page's
    JSON as a raw deflate fragment that ends in a full flush; ``crc32`` and ``raw_size`` are those
    of the JSON. Responses are joined from fragments without parsing them.
    """

    number: int
    name: str
    unit: str
    dimension: int
    shape: tuple[int, ...]
    array_ref: Ref
    fragment_ref: Ref
    crc32: int
    raw_size: int
