"""Benches start their own Kerma, whatever was set or measured before."""

from __future__ import annotations

import pytest

from kerma_tools.bench.whole import importing, reports, requests, tasks
from kerma_tools.bench.whole.clients import logins, polling
from kerma_tools.bench.whole.costs import idle, start

pytestmark = pytest.mark.slow

DISPATCHING = ["tasks/s", "ms", "reads"]


@pytest.fixture(autouse=True)
def _settings_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERMA_NATS_URL_FILE", "/gone/nats-url")
    monkeypatch.setenv("KERMA_PG_URL", "postgresql://nobody@127.0.0.1:1/gone")


def test_groups_of_a_bench_do_not_disturb_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, few in {"WARM": 1, "SUBMITTED": 2}.items():
        monkeypatch.setattr(requests, name, few)
    for name, few in {"WARM": 1, "TURNS": 1, "READ": 2, "EACH": 2}.items():
        monkeypatch.setattr(polling, name, few)
    monkeypatch.setattr(polling, "JOBS", (2, 5))
    figures = [*requests.request_latencies(), *polling.polling()]
    assert [figure.unit for figure in figures] == ["ms"] * 5 + ["/s"] + ["ms"] * 6
    assert all(figure.value > 0 for figure in figures)


def test_logins_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, few in {"AT_ONCE": 2, "TIMES": 2, "READ": 5}.items():
        monkeypatch.setattr(logins, name, few)
    figures = list(logins.logins())
    assert [figure.unit for figure in figures] == ["ms"] * 2
    assert all(figure.value > 0 for figure in figures)


def test_reports_of_scripts_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"WARM": 2, "UPDATES": 64, "PUBLISHES": 64, "OF_ONE_BODY": 5, "BODIES": 4, "SEEN": 5}
    for name, value in few.items():
        monkeypatch.setattr(reports, name, value)
    figures = list(reports.reports())
    assert [figure.unit for figure in figures] == ["/s"] * 4 + ["ms"] * 2
    assert all(figure.value > 0 for figure in figures)


def test_starting_and_stopping_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "SETTLE_SECONDS", 0.1)
    figures = list(start.starts_and_stop())
    assert [figure.unit for figure in figures] == ["s"] * 4
    assert all(figure.value > 0 for figure in figures)


def test_an_idle_platform_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "SETTLE_SECONDS", 0.1)
    monkeypatch.setattr(idle, "WATCHED_SECONDS", 1.0)
    figures = list(idle.idle())
    assert [figure.unit for figure in figures] == ["MB", "% of a core", "/s"]
    assert all(figure.value > 0 for figure in figures)


def test_what_tasks_cost_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, few in {"TASKS": 20, "JOBS": 1, "SLOTS": 3, "SUBMITTED": 3, "STARTS": 4}.items():
        monkeypatch.setattr(tasks, name, few)
    figures = [*tasks.queueing(), *tasks.dispatching(), *tasks.tiny()]
    assert [figure.unit for figure in figures] == ["ms"] * 4 + DISPATCHING + [
        "tasks/s",
        "ms",
        "tasks/s",
    ]
    assert all(figure.value > 0 for figure in figures)


def test_an_import_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "JOBS", 20)
    monkeypatch.setattr(importing, "USERS", 3)
    figures = list(importing.importing())
    assert [figure.unit for figure in figures] == ["/s"] * 2
    assert all(figure.value > 0 for figure in figures)
