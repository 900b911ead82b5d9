"""Row operations as values, so that tests compare them instead of databases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Table


@dataclass(frozen=True, slots=True)
class Upsert:
    """Insert the row with this primary key, or set these columns of it."""

    table: Table
    key: Mapping[str, Any]
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Update:
    """Set these columns of the rows that match; nothing if there are none."""

    table: Table
    where: Mapping[str, Any]
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the rows that match."""

    table: Table
    where: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Series:
    """Insert a row for each number from ``first`` to before ``stop``.

    ``number`` is the column of the primary key that holds it, ``key`` the rest of that key. Rows
    that exist are left as they are, or get these values if ``replace``.
    """

    table: Table
    key: Mapping[str, Any]
    number: str
    first: int
    stop: int
    values: Mapping[str, Any]
    replace: bool = False


Op = Upsert | Update | Delete | Series
