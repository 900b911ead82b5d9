"""Choice of a job's engine: the one asked for, or a substitute that an operator configured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

POOL = "pool"
"""The resource class that jobs are placed on."""
ON_CLUSTER = "batch"
"""The placement of jobs that run on a cluster, so that no worker takes them."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What one worker offers: versions by engine, and substitutes by engine."""

    engines: Mapping[str, str]
    substitutes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine that runs a job, and its versions if workers differ."""

    engine: str
    version: str


def choose(asked: str, offers: Sequence[Offer], *, editor: bool) -> Choice | None:
    """Choose an engine for a job that asks for ``asked``; None when no worker can run it.

    Input files are made for one engine, so only editor projects run on another one, and only when
    no worker offers the one asked for.
    """
    if choice := _offered(asked, offers):
        return choice
    if not editor:
        return None
    instead = sorted({offer.substitutes.get(asked, "") for offer in offers})
    return next((choice for name in instead if (choice := _offered(name, offers))), None)


def _offered(engine: str, offers: Sequence[Offer]) -> Choice | None:
    versions = {offer.engines[engine] for offer in offers if engine in offer.engines}
    return Choice(engine, ", ".join(sorted(filter(None, versions)))) if versions else None
