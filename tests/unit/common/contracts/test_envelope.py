"""The commit on the wire: strict when written, tolerant when read."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerma_common.contracts import envelope
from kerma_common.contracts.decoding import NewerCommit, NotACommit, decode
from kerma_common.contracts.events.runner import WorkerRetired
from kit.events.commits import NOW, commit, fresh_subject


def test_a_commit_survives_the_wire() -> None:
    made = commit(fresh_subject(), first_version=4, events=3)
    assert decode(envelope.encode(made)) == made


def test_the_same_decision_gives_the_same_bytes() -> None:
    made = commit(fresh_subject())
    again = envelope.make_commit(
        made.id,
        made.aggregate,
        made.aggregate_id,
        1,
        made.meta,
        tuple(WorkerRetired(**e.data) for e in made.events),
        NOW,
    )
    assert envelope.encode(again) == envelope.encode(made)


def test_events_are_numbered_within_their_commit() -> None:
    made = commit(fresh_subject(), events=3)
    assert [e.id for e in made.events] == [f"{made.id}.{n}" for n in range(3)]
    assert made.types == "WorkerRetired.1,WorkerRetired.1,WorkerRetired.1"


def test_bulk_does_not_fit() -> None:
    with pytest.raises(ValueError, match="exceeds"):
        envelope.encode(commit(fresh_subject(), size=envelope.MAX_COMMIT_BYTES))


def test_readers_ignore_what_they_do_not_know() -> None:
    made = commit(fresh_subject())
    raw = orjson.loads(envelope.encode(made))
    raw["later"] = raw["meta"]["later"] = raw["events"][0]["later"] = 1
    assert decode(orjson.dumps(raw)) == made


def test_a_newer_envelope_is_refused() -> None:
    raw = orjson.loads(envelope.encode(commit(fresh_subject())))
    with pytest.raises(NewerCommit, match="newer"):
        decode(orjson.dumps({**raw, "v": 2}))


@given(st.binary(max_size=200))
def test_garbage_is_no_commit(body: bytes) -> None:
    with pytest.raises(NotACommit):
        decode(body)
