"""What a worker offers: the engines in its machine's catalogue that answer a probe."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic_settings import SettingsConfigDict

from kerma_common.settings import Settings
from kerma_engines.catalogue.catalogue import Absent, CatalogueError, Offer, load_catalogue

if TYPE_CHECKING:
    from kerma_engines.adapter.port import Engine
    from kerma_sandbox.sandbox import Sandbox

_log = logging.getLogger(__name__)


class EnginesSettings(Settings):
    """Where the machine's engine catalogue is."""

    model_config = SettingsConfigDict(env_prefix="KERMA_ENGINES_")

    file: Path = Path("engines.toml")
    substitute: str | None = None
    """Engine that runs editor projects in place of every engine that is not installed."""


@dataclass(frozen=True, slots=True)
class Offers:
    """Engines by name with what is known of them; ``substitutes`` maps other engines to them."""

    engines: Mapping[str, Engine]
    versions: Mapping[str, str]
    digests: Mapping[str, str] = field(default_factory=dict)
    substitutes: Mapping[str, str] = field(default_factory=dict)


def find_offers(settings: EnginesSettings, sandbox: Sandbox | None = None) -> Offers:
    """Probe the machine's engines. Raises CatalogueError when none answers."""
    catalogue = load_catalogue(settings.file, sandbox)
    if settings.substitute is not None:
        catalogue = catalogue.substituting(settings.substitute)
    engines, survey = catalogue.engines(), catalogue.survey()
    found = [offer for offer in survey if isinstance(offer, Offer)]
    absent = [engine for engine in survey if isinstance(engine, Absent)]
    for engine in absent:
        level = logging.WARNING if engine.broken else logging.INFO
        _log.log(level, "%s is not available: %s", engine.name, engine.why)
    own = [offer for offer in found if offer.runs == offer.name]
    if not own:
        reasons = "".join(f"\n{engine.name}: {engine.why}" for engine in absent)
        raise CatalogueError(f"no engine can be run here; see {settings.file}{reasons}")
    return Offers(
        engines={offer.name: engines[offer.name] for offer in own},
        versions={offer.name: offer.version for offer in own},
        digests={offer.name: offer.digest for offer in own},
        substitutes={offer.name: offer.runs for offer in found if offer.runs != offer.name},
    )
