"""Write figures, zones and materials as ``geo.dat`` and ``mat.dat``.

Bodies are written in columns of ten, zones as ``(2X,A3,5X,9(A2,I5))``, with the alternatives of a
zone joined by OR. The rest of the world is written as one zone per alternative.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kerma_engines.adapter.conversion import fixed, one_line
from kerma_engines.geometry.bodies import combinatorial
from kerma_engines.geometry.figures import enlarged
from kerma_engines.project.source import Overrides, ZoneMaterial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kerma_engines.adapter.conversion import Verdict
    from kerma_engines.geometry.bodies import Body
    from kerma_engines.geometry.csg import Layout, Term
    from kerma_engines.project.project import Project

MARGIN = 1.0  # cm, of the black hole around a world that is not black hole itself

_FIELDS = 9  # bodies per line of a zone
_PER_ROW = 14  # zones per row of the table of media
_MAX_ZONES = 999


@dataclass(frozen=True, slots=True)
class Geometry:
    """Zones numbered from 1: alternatives and medium. World zones follow the project's."""

    layout: Layout
    zones: tuple[tuple[tuple[Term, ...], int], ...]
    media: tuple[ZoneMaterial, ...]
    world: range

    def medium(self, icru: int) -> int | None:
        """Return the medium number of an ICRU material without overrides."""
        if icru in (0, 1000):
            return icru
        for number, medium in enumerate(self.media, start=1):
            if medium.material.icru == icru and medium.overrides == Overrides():
                return number
        return None


def plan(project: Project, layout: Layout, verdict: Verdict) -> Geometry:
    """Number zones and media; problems with materials are recorded."""
    media: dict[tuple[int, Overrides], ZoneMaterial] = {}
    owners = [*(project.zone_material(zone) for zone in project.zones)]
    paths = [*project.zone_paths]
    owners.append(project.zone_material(project.world))
    paths.append(project.world_path)
    for path, owner in zip(paths, owners, strict=True):
        _check_material(project, path, owner, verdict)
    owners = [_with_written_overrides(owner) for owner in owners]
    wanted = [*owners, *_scored_materials(project)]
    for owner in sorted(wanted, key=lambda w: (w.overrides != Overrides(), w.material.icru)):
        if not _is_special(owner):
            media.setdefault(_key(owner), owner)
    numbers = {key: number for number, key in enumerate(media, start=1)}

    def number(owner: ZoneMaterial) -> int:
        return owner.material.icru if _is_special(owner) else numbers[_key(owner)]

    zones = [(terms, number(owner)) for terms, owner in zip(layout.zones, owners, strict=False)]
    first = len(zones) + 1
    zones += [((term,), number(owners[-1])) for term in layout.world]
    world = range(first, len(zones) + 1)
    if not owners[-1].material.is_black_hole:
        shell = layout.space.add(enlarged(project.world.geometry_data, MARGIN))
        zones.append(((shell | {-literal for literal in layout.boundary},), 0))
    if len(zones) > _MAX_ZONES:
        reason = f"{len(zones)} zones with those of the world; geo.dat holds {_MAX_ZONES}"
        verdict.refuse("zoneManager.zones", reason)
    return Geometry(layout, tuple(zones), tuple(media.values()), world)


def _scored_materials(project: Project) -> Iterator[ZoneMaterial]:
    used = {q.material_uuid for output in project.outputs for q in output.quantities}
    for material in project.materials:
        if material.uuid in used:
            yield ZoneMaterial(material, Overrides())


def _with_written_overrides(owner: ZoneMaterial) -> ZoneMaterial:
    written = owner.overrides.model_copy(update={"average_ionisation_potential": None})
    return replace(owner, overrides=written)


def _key(owner: ZoneMaterial) -> tuple[int, Overrides]:
    return owner.material.icru, owner.overrides


def _is_special(owner: ZoneMaterial) -> bool:
    return owner.material.is_black_hole or owner.material.is_vacuum


def _check_material(project: Project, path: str, owner: ZoneMaterial, verdict: Verdict) -> None:
    place = f"{path}.materialPropertiesOverrides"
    if _is_special(owner):
        if owner.overrides.density is not None:
            verdict.refuse(f"{place}.density", "vacuum and black hole have no density")
        return
    if owner.overrides.average_ionisation_potential is not None:
        text = "is left out: SHIELD-HIT12A takes stopping power tables, not ionisation potentials"
        verdict.note(f"{place}.averageIonisationPotential", text)
    if owner.overrides.custom_stopping_power:
        known = project.physics.available_stopping_power_files
        if str(owner.material.icru) not in known:
            reason = f"no stopping power file for ICRU material {owner.material.icru}"
            verdict.refuse(f"{place}.customStoppingPower", reason)


def mat_dat(geometry: Geometry) -> str:
    """Return the text of ``mat.dat``."""
    lines: list[str] = []
    for number, medium in enumerate(geometry.media, start=1):
        lines += [f"MEDIUM {number}", f"ICRU {medium.material.icru}"]
        if medium.overrides.density is not None:
            lines.append(f"RHO {medium.overrides.density:.12g}")
        if medium.overrides.custom_stopping_power:
            lines.append("LOADDEDX")
        lines.append("END")
    return "\n".join(lines) + "\n"


def geo_dat(project: Project, geometry: Geometry) -> str:
    """Return the text of ``geo.dat``."""
    lines = [f"{0:5d}{0:5d}          {one_line(project.title, 50)}".rstrip()]
    for number, body in enumerate(geometry.layout.space.bodies, start=1):
        lines += _body(number, body)
    lines.append("  END")
    for number, (terms, _) in enumerate(geometry.zones, start=1):
        lines += _zone(number, terms)
    lines.append("  END")
    numbers = range(1, len(geometry.zones) + 1)
    lines += _rows(list(numbers)) + _rows([medium for _, medium in geometry.zones])
    return "\n".join(lines) + "\n"


def _rows(numbers: list[int]) -> list[str]:
    return [
        "".join(f"{number:5d}" for number in numbers[start : start + _PER_ROW])
        for start in range(0, len(numbers), _PER_ROW)
    ]


def _body(number: int, body: Body) -> list[str]:
    kind, values = combinatorial(body)
    # Nine characters keep a blank between columns, for readers that split at blanks.
    columns = [f"{fixed(round(value, 9), 9):>10}" for value in values]
    lines = [f"  {kind}{number:5d}{''.join(columns[:6])}"]
    if columns[6:]:
        lines.append(f"{'':10}{''.join(columns[6:])}")
    return lines


def _zone(number: int, terms: tuple[Term, ...]) -> list[str]:
    """Return the lines of a zone. No line begins with OR, which not every reader accepts there."""
    lines: list[str] = []
    line = f"  {number:03d}     "
    fields = 0
    for k, term in enumerate(terms):
        for j, literal in enumerate(_ordered(term)):
            joins = k > 0 and j == 0
            if fields == _FIELDS:
                lines.append(line)
                # Repeating the last body changes nothing, and fills the place before OR.
                line, fields = (f"{'':12}{line[-5:]}", 1) if joins else (f"{'':10}", 0)
            line += f"{'OR' if joins else '  '}{f'{literal:+d}':>5}"
            fields += 1
    lines.append(line)
    return lines


def _ordered(term: Term) -> list[int]:
    return sorted(term, key=lambda literal: (literal < 0, abs(literal)))
