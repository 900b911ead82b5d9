"""Find the parts of a project that are used: faults in unreferenced parts are not fatal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerma_engines.project.collect import Collector

_LISTS = (
    ("scoringManager", "filters", ("scoringManager.outputs",)),
    ("detectorManager", "detectors", ("scoringManager.outputs",)),
    ("figureManager", "figures", ("zoneManager",)),
    ("materialManager", "materials", ("zoneManager", "figureManager", "scoringManager.outputs")),
)
"""The lists of a project, and where their items are referenced."""


def drop_unused(read: Collector, project: Mapping[str, Any], *, nested: bool) -> None:
    """Turn the problems of unused items into remarks; ``nested`` figures are all used."""
    for manager, name, users in _LISTS:
        if nested and name == "figures":
            continue
        items = _at(project, f"{manager}.{name}")
        if not isinstance(items, list | tuple):
            continue
        mentioned = {text for place in users for text in _texts(_at(project, place))}
        for k, item in enumerate(items):
            uuid = item.get("uuid") if isinstance(item, Mapping) else None
            if not (isinstance(uuid, str) and uuid in mentioned):
                read.forgive(f"{manager}.{name}[{k}]")


def _at(project: Mapping[str, Any], path: str) -> object:
    found: object = project
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _texts(value: object) -> Iterator[str]:
    """Yield all texts in a JSON value at any depth."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item
