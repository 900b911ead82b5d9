"""Convert an editor project to an input set of SHIELD-HIT12A."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from kerma_engines.adapter.conversion import Names, Verdict, check_common, check_layout, check_start
from kerma_engines.adapter.port import InputSet
from kerma_engines.project.spots import FILE
from kerma_engines.shieldhit.convert.beam import beam_dat, check_beam
from kerma_engines.shieldhit.convert.detect import Scoring
from kerma_engines.shieldhit.convert.geo import geo_dat, mat_dat, plan

if TYPE_CHECKING:
    from kerma_engines.project.project import Project
    from kerma_engines.project.source import World, Zone

_OWN_FILES = ("info.json", "beam.dat", "geo.dat", "mat.dat", "detect.dat", FILE)


def convert(project: Project) -> InputSet:
    """Return the input files and output map. Raises InvalidInput with every problem found."""
    verdict = Verdict()
    check_common(project, verdict, "SHIELD-HIT12A")
    check_beam(project, verdict)
    check_start(project, verdict)
    _note_units(project, verdict)
    layout = check_layout(project, verdict, "SHIELD-HIT12A")
    if layout is None:
        verdict.close()
    assert layout is not None
    geometry = plan(project, layout, verdict)
    scoring = Scoring(project, geometry, verdict)
    detect = scoring.text()
    attached, modulator = _attachments(project, verdict)
    verdict.close()
    files = {
        "info.json": orjson.dumps({"label": "", "simulator": "shieldhit", "version": ""}).decode(),
        "beam.dat": beam_dat(project, modulator),
        "geo.dat": geo_dat(project, geometry),
        "mat.dat": mat_dat(geometry),
        "detect.dat": detect,
        **attached,
    }
    return InputSet(
        "shieldhit",
        files,
        project.beam.number_of_particles,
        scoring.outputs(),
        {"notes": list(verdict.notes)},
    )


def _note_units(project: Project, verdict: Verdict) -> None:
    particle = project.particle(project.beam.particle)
    if particle.is_nucleus and "energy_unit" not in project.beam.model_fields_set:
        verdict.note(
            "beam.energyUnit", "is missing; the energy is taken as MeV of the whole nucleus"
        )


def _attachments(
    project: Project, verdict: Verdict
) -> tuple[dict[str, str], tuple[int, str] | None]:
    """Return the files embedded in the project, and the zone and file of the modulator."""
    names = Names(reserved=_OWN_FILES)
    files: dict[str, str] = {}
    if project.beam.source_type == "file":
        files[FILE] = project.beam.source_file.value
    owners: list[Zone | World] = [*project.zones, project.world]
    for owner in owners:
        used = project.zone_material(owner)
        if not used.overrides.custom_stopping_power:
            continue
        table = project.physics.available_stopping_power_files.get(str(used.material.icru))
        if table is not None and table.content not in files.values():
            files[names.give(table.name, "dedx.txt")] = table.content
    if project.modulator is None:
        return files, None
    source = project.modulator.source_file
    if not source.value.strip():
        path = "specialComponentsManager.modulator.sourceFile.value"
        verdict.refuse(path, "the modulator file is empty")
    file = names.give(source.name, "modulator.dat")
    files[file] = source.value
    uuid = project.modulator.geometry_data.parameters.zone_uuid
    numbers = {zone.uuid: number for number, zone in enumerate(project.zones, start=1)}
    if uuid not in numbers:
        path = "specialComponentsManager.modulator.geometryData.parameters.zoneUuid"
        verdict.refuse(path, "the modulator must be in a zone of the project, not in the world")
    return files, (numbers.get(uuid, 0), file)
