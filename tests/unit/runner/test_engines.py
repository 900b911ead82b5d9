"""The description of engines from the offers of living workers."""

from __future__ import annotations

from kerma_runner.api.engines import describe
from kerma_runner.read.queries import LivingWorker


def worker(slots: int, sandbox: str = "", **more: dict[str, str]) -> LivingWorker:
    return LivingWorker(
        slots,
        more.get("engines", {}),
        more.get("digests", {}),
        more.get("substitutes", {}),
        sandbox,
    )


WORKERS = (
    worker(2, "namespaces", engines={"geant4": "0.1.3", "fluka": "4-3.2"}, digests={"fluka": "aa"}),
    worker(3, "landlock", engines={"fluka": "4-3.2"}, digests={"fluka": "aa"}),
    worker(1, engines={"fluka": "4-4.0"}, digests={"fluka": "bb"}),
    worker(1, substitutes={"shieldhit": "geant4", "fluka": "geant4"}),
)


def test_equal_installations_are_told_together() -> None:
    assert describe("fluka", WORKERS) == {
        "name": "fluka",
        "workers": 3,
        "slots": 6,
        "installations": [
            {
                "version": "4-3.2",
                "digest": "aa",
                "workers": 2,
                "slots": 5,
                "sandboxes": ["landlock", "namespaces"],
            },
            {"version": "4-4.0", "digest": "bb", "workers": 1, "slots": 1, "sandboxes": []},
        ],
        "substitute": None,
    }


def test_what_is_not_offered_names_its_substitute() -> None:
    nobody = {"workers": 0, "slots": 0, "installations": []}
    assert describe("shieldhit", WORKERS) == {
        "name": "shieldhit",
        **nobody,
        "substitute": "geant4",
    }
    assert describe("topas", WORKERS) == {"name": "topas", **nobody, "substitute": None}
