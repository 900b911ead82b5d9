"""Encoded estimators: the same after decoding, and refused when they are not what they say."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from kerma_engines.results.estimator_bytes import (
    DamagedEstimators,
    decode_estimators,
    encode_estimators,
)
from kerma_engines.results.estimators import Axis, Estimator, MergeClass, Page


def estimators() -> tuple[Estimator, ...]:
    rng = np.random.default_rng(1)
    axes = (Axis.log("E", "MeV", 0.1, 200.0, 5), Axis.linear("z", "cm", -1.0, 1.0, 3))
    pages = (
        Page(0, "DOSE", "Gy", MergeClass.PER_PRIMARY, axes, rng.random(15), rng.random(15)),
        Page(1, "LIST", "", MergeClass.CONCAT, (), rng.random(7), metadata={"k": "v"}),
        Page(2, "N", "", MergeClass.SUM, (), np.array([np.nan]), np.array([1.0]), freedom=3),
    )
    return (Estimator("out", "out.bdo", 70, pages, {"a": "b"}), Estimator("none", "", 1, ()))


def encoded(change: Callable[[list[Any]], None] = lambda _: None, tail: int = 0) -> bytes:
    """Return the encoding with its description changed, and bytes less or more at its end."""
    data = b"".join(encode_estimators(estimators()))
    (length,) = struct.unpack_from("<Q", data)
    described = json.loads(data[8 : 8 + length])
    change(described)
    head = json.dumps(described).encode()
    arrays = data[8 + length :]
    arrays = arrays[:tail] if tail < 0 else arrays + b"\0" * tail
    return struct.pack("<Q", len(head)) + head + arrays


def test_estimators_are_the_same_after_decoding() -> None:
    decoded = decode_estimators(encoded())
    for mine, theirs in zip(decoded, estimators(), strict=True):
        assert (mine.name, mine.file, mine.primaries) == (
            theirs.name,
            theirs.file,
            theirs.primaries,
        )
        assert mine.metadata == theirs.metadata
        for page, other in zip(mine.pages, theirs.pages, strict=True):
            assert (page.number, page.name, page.unit) == (other.number, other.name, other.unit)
            assert (page.merge, page.freedom, page.metadata) == (
                other.merge,
                other.freedom,
                other.metadata,
            )
            assert_array_equal(page.values, other.values)
            assert (page.errors is None) == (other.errors is None)
            if page.errors is not None and other.errors is not None:
                assert_array_equal(page.errors, other.errors)
            for axis, same in zip(page.axes, other.axes, strict=True):
                assert (axis.name, axis.unit, axis.binning) == (same.name, same.unit, same.binning)
                assert_array_equal(axis.edges, same.edges)


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 8, struct.pack("<Q", 2**63), struct.pack("<Q", 90) + b"[]"]
)
def test_what_has_no_description_is_refused(data: bytes) -> None:
    with pytest.raises(DamagedEstimators):
        decode_estimators(data)


@pytest.mark.parametrize("tail", [-8, -1, 1, 8])
def test_arrays_of_other_sizes_are_refused(tail: int) -> None:
    with pytest.raises(DamagedEstimators, match="other sizes"):
        decode_estimators(encoded(tail=tail))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", -1),
        ("size", 14),
        ("size", 2**62),
        ("size", True),
        ("size", 15.0),
        ("number", -1),
        ("number", 1),
        ("name", "a\0b"),
        ("name", "x" * 70_000),
        ("name", 1),
        ("merge", "pickle"),
        ("errors", 2),
        ("freedom", -1),
        ("axes", []),
        ("metadata", {"k": 1}),
        ("extra", 1),
    ],
)
def test_pages_that_are_not_what_they_say_are_refused(key: str, value: object) -> None:
    def change(described: list[Any]) -> None:
        described[0]["pages"][0][key] = value

    with pytest.raises(DamagedEstimators):
        decode_estimators(encoded(change))


def test_axes_and_names_are_checked() -> None:
    def no_bins(described: list[Any]) -> None:
        described[0]["pages"][0]["axes"][0]["edges"] = 1

    def twice(described: list[Any]) -> None:
        described[1]["name"] = "out"

    for change in (no_bins, twice):
        with pytest.raises(DamagedEstimators):
            decode_estimators(encoded(change))
