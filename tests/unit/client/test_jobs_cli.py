"""The output of ``kerma run`` before it waits."""

from __future__ import annotations

from typing import Any

import pytest

from kerma_client.submission import notes_of
from kit import editor as make


def body(keyword: str, **changes: Any) -> dict[str, Any]:
    definition = make.project(
        {"a": make.box((1, 1, 1))},
        [make.zone("water", "a")],
        quantities=[{"keyword": keyword}],
    )
    return {
        "sim_type": "geant4",
        "input_type": "editor",
        "input_json": definition,
        **changes,
    }


def test_slow_scorers_are_told_before_the_run() -> None:
    (note,) = notes_of(body("tLET"))
    assert "twice as long" in note
    assert notes_of(body("Dose")) == ()


@pytest.mark.parametrize(
    "other",
    [
        body("Alanine"),
        body("tLET", input_json={}),
        body("tLET", sim_type="other"),
        body("tLET", input_type="files"),
    ],
)
def test_what_cannot_be_converted_here_is_left_to_the_answer(other: dict[str, Any]) -> None:
    assert notes_of(other) == ()
