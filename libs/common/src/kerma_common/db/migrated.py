"""Migrated tables: their content is in no event, so no rebuild can restore it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import MetaData


@dataclass(frozen=True, slots=True)
class MigratedSchema:
    """A schema of a service beside its read models.

    ``tables`` declare the result of all revisions of the service's ``migrations``.
    """

    schema: str
    tables: tuple[MetaData, ...]
