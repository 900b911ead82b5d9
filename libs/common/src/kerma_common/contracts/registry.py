"""The registry of event types: ``(name, version)`` to frozen dataclass and back.

Names are independent of module paths and are never reused. A new optional field with a default
keeps the version; anything else is a new version with an upcaster from the previous one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, dataclass_transform

from pydantic import TypeAdapter

E = TypeVar("E")
Upcaster = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class EventType:
    """An event type. Other services may consume ``public`` events."""

    name: str
    version: int
    context: str
    aggregate: str
    public: bool
    cls: type

    @property
    def wire(self) -> str:
        """The form used in message headers: ``Name.version``."""
        return f"{self.name}.{self.version}"


_by_name: dict[str, EventType] = {}
_by_class: dict[type, EventType] = {}
_upcasters: dict[tuple[str, int], Upcaster] = {}


@dataclass_transform(frozen_default=True, kw_only_default=True)
def event(
    context: str, aggregate: str, *, public: bool = False, version: int = 1
) -> Callable[[type[E]], type[E]]:
    """Make a class a frozen dataclass and register it as an event type of ``context``."""

    def register(cls: type[E]) -> type[E]:
        made = dataclass(frozen=True, slots=True, kw_only=True)(cls)
        name = cls.__name__
        if name in _by_name:
            raise ValueError(f"event type {name} is registered twice")
        kind = EventType(name, version, context, aggregate, public, made)
        _by_name[name] = kind
        _by_class[made] = kind
        return made

    return register


def upcaster(name: str, from_version: int) -> Callable[[Upcaster], Upcaster]:
    """Register the function that turns stored data of ``from_version`` into the next version."""

    def register(step: Upcaster) -> Upcaster:
        _upcasters[name, from_version] = step
        return step

    return register


def type_of(event_or_class: object) -> EventType:
    """Return the registered type of an event or event class. Raises KeyError if there is none."""
    cls = event_or_class if isinstance(event_or_class, type) else type(event_or_class)
    return _by_class[cls]


def all_types() -> Iterator[EventType]:
    """Return every registered type, ordered by context, aggregate and definition."""
    order = {kind.name: i for i, kind in enumerate(_by_name.values())}
    return iter(sorted(_by_name.values(), key=lambda k: (k.context, k.aggregate, order[k.name])))


_adapters: dict[type, TypeAdapter[Any]] = {}


def adapter(cls: type) -> TypeAdapter[Any]:
    """Return the codec of a payload class; built once per class."""
    found = _adapters.get(cls)
    if found is None:
        found = _adapters[cls] = TypeAdapter(cls)
    return found


def to_data(payload: object) -> dict[str, Any]:
    """Return a payload dataclass as a JSON-compatible dict."""
    data: dict[str, Any] = adapter(type(payload)).dump_python(payload, mode="json")
    return data


def from_data(name: str, version: int, data: Mapping[str, Any]) -> object | None:
    """Return the event of stored data, upcast to the current version; None for an unknown type.

    Unknown fields are ignored: readers are tolerant, writers are strict.
    """
    kind = _by_name.get(name)
    if kind is None or version > kind.version:
        return None
    for step in range(version, kind.version):
        data = _upcasters[name, step](data)
    found: object = adapter(kind.cls).validate_python(data)
    return found
