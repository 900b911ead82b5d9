"""Rows of 5.3: one status, whichever path is asked, where YAPTIDE computes two or three."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import pytest

from kit.running.clients.script import SHOWN, Script, accepted


def shown(script: Script) -> list[str]:
    """Return the states that all paths show alike, twice: no question changes them."""
    (found,) = {tuple(script.states(path)) for path in [*SHOWN, *SHOWN]}
    return list(found)


def in_list(script: Script, state: str) -> bool:
    """Whether the filter of the list finds the job in a state."""
    query: dict[str, str | int] = {"job_state": state, "page_size": 1000}
    listed = script.owner.get("/user/simulations", params=query).json()["simulations"]
    return script.job in {entry["job_id"] for entry in listed}


def test_merging_running_all_failed(script: Script) -> None:
    """YAPTIDE says MERGING_RUNNING for ever by one path, FAILED by the other."""
    accepted(script.report(job_state="MERGING_RUNNING"))
    script.tell("FAILED", "FAILED")
    # the merge has begun, so the tasks have ended: what they say now is late
    assert shown(script) == ["MERGING_RUNNING", "COMPLETED", "COMPLETED"]
    accepted(script.report(job_state="FAILED"))
    assert shown(script) == ["FAILED", "COMPLETED", "COMPLETED"]


def test_merging_queued_one_running(script: Script) -> None:
    """YAPTIDE's second path puts the job back to RUNNING."""
    script.tell("RUNNING")
    accepted(script.report(job_state="MERGING_QUEUED"))
    script.tell("RUNNING", "RUNNING")
    assert shown(script) == ["MERGING_QUEUED", "COMPLETED", "COMPLETED"]


def test_unknown_all_pending(script: Script) -> None:
    """No job is UNKNOWN: it has its tasks from the first answer on."""
    accepted(script.report(job_state="UNKNOWN"))
    assert shown(script) == ["PENDING", "PENDING", "PENDING"]


def test_canceled_all_failed(script: Script) -> None:
    """YAPTIDE says FAILED, and keeps CANCELED."""
    script.tell("FAILED")
    script.cancel()
    assert script.task(2, task_state="FAILED").status_code == 400
    assert shown(script) == ["CANCELED", "FAILED", "CANCELED"]
    assert in_list(script, "CANCELED")
    assert not in_list(script, "FAILED")


def test_pending_one_failed_one_completed(script: Script) -> None:
    """YAPTIDE says PENDING; the cluster merges what there is."""
    script.tell("FAILED", "COMPLETED")
    assert shown(script) == ["MERGING_QUEUED", "FAILED", "COMPLETED"]


def test_running_all_completed(script: Script) -> None:
    script.tell("RUNNING", "RUNNING")
    assert shown(script) == ["RUNNING", "RUNNING", "RUNNING"]
    script.tell("COMPLETED", "COMPLETED")
    assert shown(script) == ["MERGING_QUEUED", "COMPLETED", "COMPLETED"]


def test_all_pending(script: Script) -> None:
    assert shown(script) == ["PENDING", "PENDING", "PENDING"]


def test_all_failed(script: Script) -> None:
    """The list finds it at once; in YAPTIDE only after somebody has asked for the status."""
    script.tell("FAILED", "FAILED")
    assert in_list(script, "FAILED")
    assert shown(script) == ["FAILED", "FAILED", "FAILED"]


@pytest.mark.parametrize("told", ["by its tasks", "by itself"])
def test_failed_sets_end_time(script: Script, told: str) -> None:
    """YAPTIDE sets none."""
    if told == "by itself":
        accepted(script.report(job_state="FAILED"))
    else:
        script.tell("FAILED", "FAILED")
    listed = script.owner.get("/user/simulations", params={"page_size": 1000}).json()
    entry = next(one for one in listed["simulations"] if one["job_id"] == script.job)
    assert parsedate_to_datetime(entry["end_time"]) >= parsedate_to_datetime(entry["start_time"])


def test_any_running(script: Script) -> None:
    script.tell("RUNNING")
    assert shown(script) == ["RUNNING", "RUNNING", "PENDING"]
    script.tell("FAILED", "RUNNING")
    assert shown(script) == ["RUNNING", "FAILED", "RUNNING"]


@pytest.mark.parametrize("end", ["FAILED", "CANCELED"])
def test_terminal_states_are_sticky(script: Script, end: str) -> None:
    if end == "FAILED":
        script.tell("FAILED", "FAILED")
    else:
        script.cancel()
    before = shown(script)
    for state in ("RUNNING", "COMPLETED", "FAILED"):
        assert script.report(job_state=state).status_code == (202 if end == "FAILED" else 400)
    assert shown(script) == before
