"""Delivered bodies: what is read of them, and what is refused, by member."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerma_results.adapters.deliveries import grammar, reading
from kerma_results.adapters.deliveries.grammar import Refused
from kerma_results.adapters.deliveries.reading import BodyRead, BodyReader, Gzipped, Plain, Spool
from kit.running.clients.deliveries import a_map, estimator, page

REAL = Path(__file__).parents[4] / "shared/realdata/projects/results_shieldhit.json"
MOST = 1 << 20


def body(*estimators: Any, **other: Any) -> dict[str, Any]:
    made = list(estimators) or [estimator("dose")]
    return {"simulation_id": 4, "update_key": "a.b.c", "estimators": made, **other}


def read(
    raw: bytes | dict[str, Any],
    *,
    zipped: bool = False,
    step: int = MOST,
    most: int = MOST,
) -> tuple[BodyRead, Spool]:
    raw = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    spool = Spool(io.BytesIO(), most)
    reader = BodyReader(spool, Gzipped(most) if zipped else Plain(most))
    for start in range(0, len(raw), step):
        reader.feed(raw[start : start + step])
    reader.end()
    return reader.body, spool


def refusal(raw: bytes | dict[str, Any], **how: Any) -> tuple[str, str]:
    with pytest.raises(Refused) as refused:
        read(raw, **how)
    return refused.value.path, refused.value.reason


def digests(found: BodyRead) -> list[str]:
    return [one.digest for one in found.estimators]


def test_what_is_read() -> None:
    found, spool = read(body(estimator("dose", page(3), a_map(1)), estimator("let")))
    assert [one.name for one in found.estimators] == ["dose", "let"]
    mapped, scalar = found.estimators[0].pages
    assert (mapped.number, mapped.shape, mapped.name, mapped.unit) == (1, (2, 3), "DOSE", "MeV/g")
    assert scalar.shape == ()
    assert sorted(mapped.arrays) == ["axis_dim1.values", "axis_dim2.values", "data.values"]
    raw = spool.read(mapped.arrays["data.values"], 0, 100)
    assert np.frombuffer(raw).tolist() == a_map()["data"]["values"]
    assert np.frombuffer(spool.read(mapped.arrays["data.values"], 4, 100)).size == 2


@settings(max_examples=20)
@given(step=st.integers(1, 400))
def test_a_body_may_be_cut_anywhere(step: int) -> None:
    delivered = body(estimator("dose", a_map(), page(2, [1.5, 2.5e-7, 3])))
    assert digests(read(delivered, step=step)[0]) == digests(read(delivered)[0])


def test_equal_content_has_equal_digests_and_other_content_another() -> None:
    (first,) = digests(read(body(estimator("dose", page(0), page(1))))[0])
    (turned,) = digests(read(body(estimator("dose", page(1), page(0))))[0])
    assert first == turned
    for other in (
        estimator("dose", page(0), page(2)),
        estimator("dose", page(0), page(1, [0.25])),
        estimator("dose", page(0), page(1), host="b"),
    ):
        assert digests(read(body(other))[0]) != [first]


def test_numbers_are_written_in_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WRITTEN_AT_ONCE", 3)
    values = [n / 7 for n in range(20)]
    found, spool = read(body(estimator("dose", page(0, values))), step=50)
    stored = found.estimators[0].pages[0].arrays["data.values"]
    assert np.frombuffer(spool.read(stored, 0, 20)).tolist() == values


NOT_FINITE = [float("nan"), 1.5, float("inf"), float("-inf"), -2.0, float("nan")]


@settings(max_examples=20)
@given(step=st.integers(1, 400))
def test_values_and_errors_that_are_not_finite_are_kept(step: int) -> None:
    made = page(0, NOT_FINITE)
    made["data"]["errors"] = NOT_FINITE[::-1]
    found, spool = read(body(estimator("dose", made, worst=float("nan"))), step=step)
    stored = found.estimators[0].pages[0].arrays
    for name, expected in (("values", NOT_FINITE), ("errors", NOT_FINITE[::-1])):
        kept = np.frombuffer(spool.read(stored[f"data.{name}"], 0, 10))
        np.testing.assert_array_equal(kept, expected)
    assert found.estimators[0].metadata["worst"] is None
    again, _ = read(body(estimator("dose", made, worst=None)))
    assert digests(found) == digests(again)


def test_null_is_how_json_writes_nan() -> None:
    with_null, with_nan = page(0, NOT_FINITE), page(0, NOT_FINITE)
    with_null["data"]["values"][0] = with_null["data"]["values"][-1] = None
    digest = digests(read(body(estimator("dose", with_nan)))[0])
    assert digests(read(body(estimator("dose", with_null)))[0]) == digest


@pytest.mark.skipif(not REAL.exists(), reason="no recorded results here")
def test_recorded_results_are_read() -> None:
    recorded = json.loads(REAL.read_text())["estimators"]
    raw = json.dumps(body(*recorded)).encode()
    found, spool = read(gzip.compress(raw), zipped=True, most=1 << 23)
    for one, delivered in zip(found.estimators, recorded, strict=True):
        assert (one.name, one.metadata) == (delivered["name"], delivered["metadata"])
        for stored, given_page in zip(one.pages, delivered["pages"], strict=True):
            raw_values = spool.read(stored.arrays["data.values"], 0, 10**6)
            assert np.frombuffer(raw_values).tolist() == given_page["data"]["values"]


WHERE = "estimators.0.pages.0"
NUMBERS = "Must hold numbers only."


def with_page(**other: Any) -> dict[str, Any]:
    return body(estimator("dose", page(0, [0.5], **other)))


def with_values(*values: object) -> dict[str, Any]:
    return with_page(data={"values": values})


def without(key: str, inner: str = "") -> dict[str, Any]:
    made = page()
    del (made[inner] if inner else made)[key]
    return body(estimator("dose", made))


@pytest.mark.parametrize(
    ("delivered", "path", "reason"),
    [
        ({}, "simulation_id", "Missing data"),
        (body(job="x"), "job", "Unknown field."),
        (body(simulation_id="4"), "simulation_id", "Not a valid integer."),
        (body(simulation_id=True), "simulation_id", "Not a valid integer."),
        (body(simulation_id=4.0), "simulation_id", "Not a valid integer."),
        (body(simulation_id=-4), "simulation_id", "Not a valid integer."),
        (body(update_key=None), "update_key", "Must be a text."),
        (body(update_key="x" * 5000), "update_key", "longer than"),
        (body(estimators={}), "estimators", "Must be a list."),
        (body("dose"), "estimators.0", "Must be an object."),
        (body({"name": "dose", "pages": []}), "estimators.0.metadata", "Missing data"),
        (body(estimator("")), "estimators.0.name", "1 to 128 characters"),
        (body(estimator("a\nb")), "estimators.0.name", "1 to 128 characters"),
        (body(estimator("nul\0")), "estimators.0.name", "NUL"),
        (body(estimator("x" * 129)), "estimators.0.name", "1 to 128 characters"),
        (body(estimator("dose", a={"b": 1})), "estimators.0.metadata.a", "an object or a list"),
        (body(estimator("dose", page(1), page(1))), "estimators.0.pages", "have one number"),
        (without("dimensions"), f"{WHERE}.dimensions", "Missing data"),
        (without("data"), f"{WHERE}.data", "Missing data"),
        (without("values", "data"), f"{WHERE}.data.values", "Missing data"),
        (without("page_number", "metadata"), f"{WHERE}.metadata.page_number", "Missing data"),
        (without("name", "metadata"), f"{WHERE}.metadata.name", "Missing data"),
        *(
            (
                with_page(metadata={"page_number": "0", "name": name}),
                f"{WHERE}.metadata.name",
                "Must be a text.",
            )
            for name in (5, None, True, float("nan"))
        ),
        (with_page(dimensions=9), f"{WHERE}.dimensions", "more than 8"),
        (with_page(dimensions=1), f"{WHERE}.axis_dim1", "Missing data"),
        (with_page(axis_dim1={"values": [1]}), f"{WHERE}.axis_dim1", "only 0 dimensions"),
        (with_values(1.0, "2"), f"{WHERE}.data.values", NUMBERS),
        (with_values(1.0, True), f"{WHERE}.data.values", NUMBERS),
        (with_values(1.0, [2.0]), f"{WHERE}.data.values", NUMBERS),
        (with_values(1.0, "NaN"), f"{WHERE}.data.values", NUMBERS),
        (with_values({"NaN": 1}), f"{WHERE}.data.values", NUMBERS),
        (
            with_page(dimensions=1, axis_dim1={"values": [float("nan")]}),
            f"{WHERE}.axis_dim1.values",
            "Must hold finite numbers only.",
        ),
        (
            with_page(dimensions=1, axis_dim1={"values": [1.0], "edges": [0.0, None]}),
            f"{WHERE}.axis_dim1.edges",
            "Must hold finite numbers only.",
        ),
        (body(simulation_id=float("nan")), "simulation_id", "Not a valid integer."),
        (body({"name": float("nan")}), "estimators.0.name", "NUL"),
        (with_page(other={"deep": 1}), f"{WHERE}.other", "an object or a list"),
        (
            with_page(data={"values": [1.0, 2.0]}),
            f"{WHERE}.data.values",
            "Has 2 numbers; the axes have 1 bins.",
        ),
        (
            with_page(data={"values": [1.0], "errors": []}),
            f"{WHERE}.data.errors",
            "Has 0 numbers",
        ),
        (
            with_page(dimensions=1, axis_dim1={"values": [1.0], "edges": [1.0]}),
            f"{WHERE}.axis_dim1.edges",
            "Has 1 numbers for 1 bins.",
        ),
    ],
)
def test_what_is_refused(delivered: dict[str, Any], path: str, reason: str) -> None:
    where, why = refusal(delivered)
    assert where == path
    assert reason in why


@pytest.mark.parametrize(
    "number", ["-1", "1.0", "x", "", "99999999999", 1.5, True, None, 2**31, " 1"]
)
def test_a_page_number_is_a_number(number: object) -> None:
    made = page()
    made["metadata"]["page_number"] = number
    assert refusal(body(estimator("dose", made)))[0] == f"{WHERE}.metadata.page_number"


@pytest.mark.parametrize(
    ("raw", "path", "reason"),
    [
        (b"", "body", "Not valid JSON"),
        (b"[]", "body", "Must be an object."),
        (b"null", "body", "Must be an object."),
        (b"simulation", "body", "Not valid JSON"),
        (json.dumps(body()).encode()[:-1], "body", "Not valid JSON"),
        (json.dumps(body()).encode() + b"{}", "body", "Not valid JSON"),
        (json.dumps(body()).encode()[:-40], "estimators.0", "Not valid JSON"),
        (b'{"simulation_id":1,"simulation_id":1}', "simulation_id", "Comes twice."),
        (b'{"update_key":"\xff"}', "update_key", "Not valid JSON"),
        (b'{"simulation_id":1e999}', "simulation_id", "Not valid JSON"),
        (b"[" * 500_000, "body", "Must be an object."),
        (b'{"estimators":' + b"[" * 500_000, "estimators.0", "Must be an object."),
        (b'{"estimators":[' + b'{"name":' * 99_999, "estimators.0.name", "Must be a text."),
        (b'{"update_key":"' + b"x" * 500_000, "body", "Holds a text or white space"),
        (b" " * 500_000, "body", "Holds a text or white space"),
        (b'{"' + b"x" * 300 + b'":1}', "x" * 200, "Its name is longer"),
    ],
)
def test_what_is_no_such_json(raw: bytes, path: str, reason: str) -> None:
    where, why = refusal(raw)
    assert where.startswith(path)
    assert reason in why


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar, "MOST_ESTIMATORS", 2)
    monkeypatch.setattr(grammar, "MOST_PAGES", 3)
    monkeypatch.setattr(grammar, "MOST_MEMBERS", 4)
    monkeypatch.setattr(grammar, "MOST_OBJECT", 500)
    three = [estimator(str(n)) for n in range(3)]
    assert refusal(body(*three)) == ("estimators", "There are more than 2.")
    four = [page(n) for n in range(4)]
    assert refusal(body(estimator("dose", *four)))[0] == "estimators.0.pages.3"
    many = {str(n): "" for n in range(5)}
    assert refusal(body(estimator("dose", **many)))[0] == "estimators.0.metadata"
    assert "longer than 500" in refusal(body(estimator("dose", long="x" * 500)))[1]


def test_numbers_are_bounded() -> None:
    wide = json.dumps(body(estimator("dose", page(0, [0] * 2000)))).encode()
    spool = Spool(io.BytesIO(), 8 * 1000)
    reader = BodyReader(spool, Plain(MOST))
    with pytest.raises(Refused, match="KERMA_RESULTS_MERGED_BYTES"):
        reader.feed(wide)


def test_a_body_is_bounded_as_it_is_sent_and_decompressed() -> None:
    raw = json.dumps(body()).encode()
    assert "Is larger than 100 bytes." in refusal(raw, most=100)[1]
    assert "when decompressed" in refusal(gzip.compress(raw), zipped=True, most=100)[1]
    assert refusal(gzip.compress(gzip.compress(raw)), zipped=True)[0] == "body"
    sparse = gzip.compress(json.dumps(body(estimator("map", page(0, [0] * 100_000)))).encode())
    found, _ = read(sparse, zipped=True, most=1 << 30, step=4096)
    assert found.estimators[0].pages[0].shape == (100_000,)


@pytest.mark.parametrize("damage", ["cut", "changed", "more", "none"])
def test_damaged_gzip(damage: str) -> None:
    raw = json.dumps(body()).encode()
    zipped = gzip.compress(raw)
    changed = zipped[:-6] + bytes([zipped[-6] ^ 1]) + zipped[-5:]
    made = {"cut": zipped[:-4], "changed": changed, "more": zipped * 2, "none": raw}[damage]
    assert refusal(made, zipped=True)[0] == "body"
