"""Read parts of a JSON document and collect every problem with its JSON path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from kerma_engines.errors import Problem
from kerma_engines.fields import Model

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_ITEMS = 5000  # items of one list; far beyond what the editor can draw
_MAX_DEPTH = 64  # levels of nested figures

M = TypeVar("M", bound=Model)


class Collector:
    """Reads parts of a project and collects problems instead of stopping at the first."""

    def __init__(self, project: Mapping[str, Any]) -> None:
        self._project = project
        self.problems: list[Problem] = []
        self._noted: set[Problem] = set()
        self.remarks: list[str] = []

    def add(self, path: str, reason: str) -> None:
        """Record a problem once."""
        problem = Problem(path, reason)
        if problem not in self._noted:
            self._noted.add(problem)
            self.problems.append(problem)

    def forgive(self, path: str) -> None:
        """Drop the problems of the unused item at ``path``, and add a remark if there were any."""
        mine = [
            problem
            for problem in self.problems
            if problem.path == path or problem.path.startswith((f"{path}.", f"{path}["))
        ]
        if mine:
            self.problems = [problem for problem in self.problems if problem not in mine]
            self.remark(path, f"is not used and is left out ({mine[0]})")

    def remark(self, path: str, text: str) -> None:
        """Add a remark for the user on how the value at ``path`` is interpreted."""
        self.remarks.append(f"{path}: {text}")

    def block(self, name: str, *, required: bool = True) -> Mapping[str, Any]:
        """Return a top-level object, or an empty one with a problem recorded."""
        found = self._project.get(name)
        if isinstance(found, Mapping):
            return found
        if found is not None:
            self.add(name, "must be an object")
        elif required:
            self.add(name, "is missing")
        return {}

    def one(self, kind: type[M], path: str, value: object) -> M | None:
        """Return ``value`` as a model, or None with its problems recorded."""
        try:
            return kind.model_validate(value)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            for detail in details:
                if detail["type"] == "too_short" and _faulty_within(detail["loc"], details):
                    continue  # pydantic does not count the items that are faulty
                place = _json_path(path, detail["loc"], value)
                self.add(*_tag_problem(place, detail) or (place, _reason(detail)))
        return None

    def _shallow(self, path: str, value: object) -> bool:
        """Return whether nested ``children`` stay within bounds; the models recurse into them."""
        level = [value]
        for _ in range(_MAX_DEPTH):
            level = [
                child
                for item in level
                if isinstance(item, Mapping) and isinstance(item.get("children"), list | tuple)
                for child in item["children"]
            ]
            if not level:
                return True
            if len(level) > _MAX_ITEMS:
                break
        self.add(f"{path}.children", f"is nested deeper than {_MAX_DEPTH} or too wide")
        return False

    def many(self, kind: type[M], manager: str, name: str) -> list[tuple[str, M]]:
        """Return the valid items of a manager's list, with their paths."""
        block = self.block(manager)
        items = block.get(name, [])
        path = f"{manager}.{name}"
        if not isinstance(items, list | tuple):
            self.add(path, "must be a list")
            return []
        if len(items) > _MAX_ITEMS:
            self.add(path, f"has {len(items)} items, more than {_MAX_ITEMS}")
            return []
        places = [(f"{path}[{k}]", value) for k, value in enumerate(items)]
        read = [(p, self.one(kind, p, v)) for p, v in places if self._shallow(p, v)]
        return [(place, item) for place, item in read if item is not None]

    def ids(self, manager: str, name: str) -> set[str]:
        """Return the ids of all items of a list, including invalid ones."""
        items = (
            block.get(name) if isinstance(block := self._project.get(manager), Mapping) else None
        )
        if not isinstance(items, list | tuple):
            return set()
        found = (item.get("uuid") for item in items if isinstance(item, Mapping))
        return {uuid for uuid in found if isinstance(uuid, str)}


def _json_path(path: str, loc: tuple[int | str, ...], value: object) -> str:
    # pydantic adds the tag of a union ("BoxGeometry") to the path; the JSON has no such level.
    current: object = value
    for step in loc:
        if isinstance(step, int):
            path += f"[{step}]"
            inside = isinstance(current, list | tuple) and step < len(current)
            current = current[step] if inside else None  # type: ignore[index]
        elif isinstance(current, Mapping) and step not in current and step[:1].isupper():
            continue
        else:
            path += f".{step}"
            current = current.get(step) if isinstance(current, Mapping) else None
    return path


def _tag_problem(path: str, detail: Any) -> tuple[str, str] | None:
    if detail["type"] == "union_tag_invalid":
        return f"{path}.geometryType", f"must be one of {detail['ctx']['expected_tags']}"
    if detail["type"] == "union_tag_not_found":
        return f"{path}.geometryType", "is missing"
    return None


def _faulty_within(loc: tuple[int | str, ...], details: Iterable[Any]) -> bool:
    return any(
        len(other["loc"]) > len(loc) and other["loc"][: len(loc)] == loc for other in details
    )


_KINDS = {
    "missing": "is missing",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "mapping_type": "must be an object",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "too_short": "has too few items",
    "too_long": "has too many items",
}
"""Reasons in the words of JSON, by pydantic's type of error."""


def _reason(detail: Any) -> str:
    if detail["type"] in _KINDS:
        return _KINDS[detail["type"]]
    message = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return message[:1].lower() + message[1:]
