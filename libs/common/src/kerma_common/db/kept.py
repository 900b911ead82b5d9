"""Tables that no rebuild makes anew: their content is in no event, so they are migrated for real."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import MetaData


@dataclass(frozen=True, slots=True)
class Kept:
    """What a service keeps in ``schema``, beside its read models.

    ``tables`` declare what the revisions in the service's ``migrations`` have made in the end.
    """

    schema: str
    tables: tuple[MetaData, ...]
