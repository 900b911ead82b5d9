"""Arrays of a page survive encoding, and damage is detected."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from kerma_engines.results.estimators import Axis, MergeClass, Page
from kerma_results.pages.arrays import CHUNK, DamagedPage, encode_page, open_page

FloatArray = NDArray[np.float64]


def page(values: FloatArray, errors: FloatArray | None = None) -> Page:
    axes = (Axis.linear("Z", "cm", 0, 1, values.size),) if values.size > 1 else ()
    return Page(3, "DOSE", "Gy", MergeClass.PER_PRIMARY, axes, values, errors)


@given(npst.arrays(np.float64, st.integers(0, 200)))
def test_any_numbers_come_back(values: FloatArray) -> None:
    body = encode_page(page(values, values[::-1]))
    found = open_page(body)
    assert found.array("values").tobytes() == values.tobytes()
    assert found.array("errors").tobytes() == values[::-1].tobytes()
    assert body == encode_page(page(values, values[::-1]))


def test_slices_over_chunks_match() -> None:
    values = np.random.default_rng(1).normal(size=2 * CHUNK + 100)
    found = open_page(encode_page(page(values)))
    for start, stop in ((0, 1), (CHUNK - 2, CHUNK + 2), (5, 2 * CHUNK + 1), (2 * CHUNK, 10**9)):
        np.testing.assert_array_equal(found.array("values", start, stop), values[start:stop])
    assert found.array("values", 7, 7).size == 0
    assert found.arrays == ("values",)
    table = found.header["arrays"]["values"]["chunks"]
    assert table[1][3:] == [values[CHUNK : 2 * CHUNK].min(), values[CHUNK : 2 * CHUNK].max()]


def test_shuffling_is_decided_by_the_data() -> None:
    rng = np.random.default_rng(2)
    smooth = np.exp(np.linspace(0, 1, 50_000))
    counts = (rng.random(50_000) < 0.02) * rng.integers(1, 5, 50_000) / 7.0
    tables = [open_page(encode_page(page(v))).header["arrays"] for v in (smooth, counts)]
    assert [t["values"]["shuffle"] for t in tables] == [True, False]


def test_edges_stay_exact() -> None:
    given_page = page(np.arange(10.0))
    axis = open_page(encode_page(given_page)).header["axes"][0]
    assert axis["edges"] == given_page.axes[0].edges.tolist()


def test_damage_is_noticed() -> None:
    body = encode_page(page(np.arange(1000.0)))
    broken = body[:-5] + bytes([body[-5] ^ 1]) + body[-4:]
    for bad in (broken, body[:-1]):
        with pytest.raises(DamagedPage):
            open_page(bad).array("values")
    for bad in (b"", b"KERMAPG1", body[1:], body[:40]):
        with pytest.raises(DamagedPage):
            open_page(bad)
