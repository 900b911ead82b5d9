"""The choice of a job's engine from the offers of workers."""

from __future__ import annotations

import pytest

from kerma_jobs.domain.offers import Choice, Offer, choose

PLAIN = Offer({"geant4": "11.2"}, {})
NEWER = Offer({"geant4": "11.4", "fluka": ""}, {})
HELPFUL = Offer({"geant4": "11.2"}, {"fluka": "geant4", "topas": "geant4"})
EMPTY_PROMISE = Offer({}, {"topas": "shieldhit"})


@pytest.mark.parametrize("editor", [True, False])
def test_versions_are_told_where_workers_differ(editor: bool) -> None:
    chosen = choose("geant4", [NEWER, PLAIN, HELPFUL], editor=editor)
    assert chosen == Choice("geant4", "11.2, 11.4")


def test_the_engine_itself_goes_before_a_substitute() -> None:
    assert choose("fluka", [HELPFUL, NEWER], editor=True) == Choice("fluka", "")


def test_a_substitute_runs_editor_projects_alone() -> None:
    assert choose("topas", [PLAIN, HELPFUL], editor=True) == Choice("geant4", "11.2")
    assert choose("topas", [PLAIN, HELPFUL], editor=False) is None


def test_a_substitute_that_nobody_offers_is_none() -> None:
    assert choose("topas", [PLAIN, EMPTY_PROMISE], editor=True) is None
    assert choose("topas", [EMPTY_PROMISE, HELPFUL], editor=True) == Choice("geant4", "11.2")
    assert choose("topas", [], editor=True) is None
