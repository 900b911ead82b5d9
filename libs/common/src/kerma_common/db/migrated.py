"""Tables that are migrated, because their content is in no event and no rebuild makes it anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import MetaData


@dataclass(frozen=True, slots=True)
class MigratedSchema:
    """A schema of a service beside its read models.

    ``tables`` declare what all revisions of the service's ``migrations`` make together.
    """

    schema: str
    tables: tuple[MetaData, ...]
