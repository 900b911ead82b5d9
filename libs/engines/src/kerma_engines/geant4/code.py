"""Geant4's own code: conversion, input files and results."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import asdict, astuple
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from kerma_engines.adapter.files import checked_files
from kerma_engines.adapter.port import Command, InputSet, Output, OutputQuantity
from kerma_engines.errors import MAX_PROBLEMS, InvalidInput, Problem
from kerma_engines.geant4.convert import beam, score_write, spot_beam
from kerma_engines.geant4.convert.gdml_write import GeometryWriter
from kerma_engines.geant4.convert.mesh_write import detector_boxes
from kerma_engines.geant4.gdml import check as gdml_check
from kerma_engines.geant4.macro import macro
from kerma_engines.geant4.macro.apart import keep_apart
from kerma_engines.geant4.read import pages
from kerma_engines.geant4.scorers.quantities import MAPS, bins_of
from kerma_engines.geant4.transport import spot_list
from kerma_engines.geant4.transport.result_file import SUFFIX
from kerma_engines.geant4.version import binding
from kerma_engines.physics.material_names import BLACK_HOLE
from kerma_engines.project.project import parse_project
from kerma_engines.project.spots import FILE as SPOT_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from kerma_engines.adapter.port import Program
    from kerma_engines.geant4.scorers.meshes import Mesh
    from kerma_engines.project.project import Project
    from kerma_engines.results.estimators import Estimator

GEOMETRY = "geometry.gdml"
MACRO = "run.mac"
_TASK = "task.json"
_LOG = "geant4.log"
_NAME = "geant4"


def convert(project: Mapping[str, Any] | Project, *, full: bool) -> InputSet:
    """Convert an editor project to input files. Raises InvalidInput with all problems."""
    parsed = parse_project(project)
    writer = GeometryWriter(parsed)
    scoring = score_write.scoring(parsed, full=full)
    needed = [beam.start_box(parsed), *detector_boxes(parsed)]
    geometry = writer.write(needed)
    problems = [*beam.problems(parsed, full=full), *writer.problems, *scoring.problems]
    if problems:
        raise InvalidInput(tuple(problems))
    primaries = parsed.beam.number_of_particles
    lines = [
        *beam.commands(parsed),
        *scoring.commands,
        f"/run/beamOn {primaries}",
    ]
    text = "/run/initialize\n" + "\n".join(lines) + "\n"
    files, notes = {GEOMETRY: geometry, MACRO: text}, list(scoring.notes)
    if parsed.beam.source_type == "file":
        files[SPOT_FILE] = parsed.beam.source_file.value
        notes += spot_beam.notes(parsed)
    return InputSet(
        engine=_NAME,
        files=files,
        primaries=primaries,
        outputs=scoring.outputs,
        options={
            "pages": [list(pages) for pages in scoring.pages],
            "notes": [*parsed.notes, *notes],
        },
    )


def accept_files(files: Mapping[str, str], *, full: bool) -> InputSet:
    """Check user-supplied input files and find their primaries. Raises InvalidInput."""
    files = checked_files(files)
    particles = macro.FULL_PARTICLES if full else macro.PARTICLES
    geometry, macro_file = _pick(files)
    found = gdml_check.problems(files[geometry], file=geometry)
    problems = list(islice(found, MAX_PROBLEMS))
    count = len(problems) + sum(1 for _ in found)
    try:
        parsed = macro.parse(files[macro_file], file=macro_file, particles=particles)
    except InvalidInput as invalid:
        raise InvalidInput((*problems, *invalid.problems), count + invalid.count) from None
    problems += _spot_problems(parsed, files, macro_file)
    if not problems:
        problems += _volume_problems(parsed, files[geometry], macro_file)
    if problems:
        raise InvalidInput(problems, max(count, len(problems)))
    meshes = [mesh for mesh in parsed.meshes if mesh.scorers]
    options = [pages.scorer_pages(mesh) for mesh in meshes]
    return InputSet(
        engine=_NAME,
        files=dict(files),
        primaries=parsed.primaries,
        outputs=tuple(_declared_output(mesh) for mesh in meshes),
        options={"pages": options, "notes": list(parsed.notes)},
    )


def scored_bins(inputs: InputSet) -> int:
    """Return the bins of all quantities of a task."""
    meshes = _macro(inputs).meshes
    return sum(math.prod(m.bins) * bins_of(s.axes) for m in meshes for s in m.scorers)


def prepare(
    inputs: InputSet, directory: Path, program: Program, *, primaries: int, seed: int
) -> Command:
    """Write the files of one task (>= 1 primaries, seed >= 1) and return how to start it."""
    for name, text in inputs.files.items():
        (directory / name).write_text(text)
    geometry, _ = _pick(inputs.files)
    parsed = _macro(inputs)
    task = {
        "geometry": geometry,
        "black_hole": BLACK_HOLE if gdml_check.has_black_hole(inputs.files[geometry]) else "",
        "commands": _with_initialize(keep_apart(parsed.commands, parsed.meshes)),
        "nuclear": parsed.nuclear,
        "binding": binding(),
        "divergence": _divergence(parsed),
        "spots": asdict(parsed.spots) if parsed.spots else None,
        "numbering": _numbering(parsed, inputs.files[geometry]),
        "meshes": [_mesh_task(mesh) for mesh in parsed.meshes if mesh.scorers],
    }
    (directory / _TASK).write_text(json.dumps(task, indent=1))
    module = "kerma_engines.geant4.transport.run"
    arguments = (_TASK, "--primaries", str(primaries), "--seed", str(seed))
    return Command(
        argv=(program.name, "-m", module, *arguments),
        env=program.env,
        results=(f"*{SUFFIX}",),
        logs=(_LOG,),
        refusal=program.refusal,
    )


def read(directory: Path, inputs: InputSet) -> tuple[Estimator, ...]:
    """Read the estimators of a finished task, ordered by the output map. Raises ReadError."""
    parsed = _macro(inputs)
    meshes = {mesh.name: mesh for mesh in parsed.meshes}
    geometry, _ = _pick(inputs.files)
    numbering = _numbering(parsed, inputs.files[geometry])
    return pages.estimators(directory, inputs, meshes, numbering)


def _macro(inputs: InputSet) -> macro.Macro:
    _, name = _pick(inputs.files)
    return macro.parse(inputs.files[name], file=name, particles=macro.FULL_PARTICLES)


def _pick(files: Mapping[str, str]) -> tuple[str, str]:
    """Return the names of the geometry and the macro. Raises InvalidInput."""
    problems = [
        Problem(name[:64] or "files", reason) for name in files if (reason := _bad_name(name))
    ]
    geometry = [name for name in files if name.endswith(".gdml")]
    macros = [name for name in files if name.endswith(".mac")]
    others = [name for name in files if not name.endswith((".gdml", ".mac"))]
    if len(geometry) != 1 or len(macros) != 1 or len(others) > 1:
        reason = (
            "Geant4 needs one geometry (*.gdml), one macro (*.mac) and the list of spots that the "
            "macro names, nothing else"
        )
        problems.append(Problem("files", reason))
    if problems:
        raise InvalidInput(tuple(problems))
    return geometry[0], macros[0]


def _spot_problems(parsed: macro.Macro, files: Mapping[str, str], macro_file: str) -> list[Problem]:
    """Check that a list is supplied if and only if the macro names it, and that it is valid."""
    named = parsed.spots.file if parsed.spots else ""
    others = [name for name in files if not name.endswith((".gdml", ".mac"))]
    found = [Problem(name, f"{macro_file} does not name it") for name in others if name != named]
    if parsed.spots is None:
        return found
    if named not in files:
        return [*found, Problem(macro_file, f"there is no list of spots {named!r}")]
    faults = spot_list.read(files[named], parsed.spots.energy_sigma, parsed.energies).faults
    places = (f"{named}:{fault.line}" if fault.line else named for fault in faults)
    return [*found, *(Problem(p, f.reason) for p, f in zip(places, faults, strict=True))]


def _numbering(parsed: macro.Macro, geometry: str) -> dict[str, dict[str, int]]:
    """Return numbers of volumes and materials, if a map shows them."""
    scorers = (scorer for mesh in parsed.meshes for scorer in mesh.scorers)
    mapped = any(scorer.own and scorer.kind in MAPS for scorer in scorers)
    return gdml_check.numbering(geometry) if mapped else {}


def _volume_problems(parsed: macro.Macro, geometry: str, macro_file: str) -> Iterator[Problem]:
    """Check that a scored volume exists exactly once: Geant4 scores in the first of its name."""
    scored = [mesh for mesh in parsed.meshes if mesh.shape == "volume"]
    names = gdml_check.volume_names(geometry) if scored else Counter[str]()
    for mesh in scored:
        if names[mesh.name] == 1:
            continue
        place = f"{macro_file}:{mesh.line}"
        if names[mesh.name]:
            reason = f"{names[mesh.name]} volumes are called {mesh.name!r}, without what follows 0x"
            yield Problem(place, f"{reason}; Geant4 would score in the first only")
        else:
            yield Problem(place, f"the geometry has no volume {mesh.name!r}")


def _bad_name(name: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name):
        return ""
    return "file names hold letters, digits, dots, hyphens and underscores only"


def _mesh_task(mesh: Mesh) -> dict[str, Any]:
    native = [scorer for scorer in mesh.scorers if not scorer.own]
    maps = [scorer for scorer in mesh.scorers if scorer.own and scorer.kind in MAPS]
    own = [scorer for scorer in mesh.scorers if scorer.own and scorer.kind not in MAPS]
    return {
        "name": mesh.name,
        "maps": [{"name": scorer.name, "kind": scorer.kind} for scorer in maps],
        "place": _place(mesh) if maps else None,
        "shape": None if mesh.shape == "volume" and native else mesh.dump_shape,
        "scorers": [scorer.name for scorer in native],
        "rings": [mesh.bins[0], mesh.left_out, mesh.grouped] if mesh.regrouped else None,
        "units": {scorer.name: scorer.unit for scorer in native},
        "rules": {scorer.name: scorer.rules for scorer in native if scorer.rules},
        "own": [
            {
                "name": s.name,
                "kind": s.kind,
                "axes": [astuple(axis) for axis in s.axes],
                "rules": s.rules,
            }
            for s in own
        ],
    }


def _place(mesh: Mesh) -> dict[str, Any]:
    """Return the centres of the bins, for maps; mm."""
    axes = pages.mesh_axes(mesh)
    # positions on axes are those in the world unless the mesh is rotated
    start = (0.0, 0.0, 0.0) if mesh.turns else mesh.centre
    if mesh.shape == "cylinder":
        radius, _, height = axes
        along = height.centres - start[2]
        middles = [(2, along), (1, np.zeros(1)), (0, radius.centres)]
    else:
        middles = [(k, axis.centres - start[k]) for k, axis in enumerate(axes)]
    return {
        "centre": [10.0 * x for x in mesh.centre],
        "axes": mesh.matrix.T.tolist(),
        "middles": [(axis, (10.0 * values).tolist()) for axis, values in middles],
    }


def _declared_output(mesh: Mesh) -> Output:
    quantities = tuple(
        OutputQuantity(number, scorer.name, scorer.kind, scorer.filtered)
        for number, scorer in enumerate(mesh.scorers)
    )
    return Output(mesh.name, mesh.name, f"{mesh.name}{SUFFIX}", quantities)


def _with_initialize(commands: list[str]) -> list[str]:
    start = "/run/initialize"
    return commands if start in commands else [start, *commands]


def _divergence(parsed: macro.Macro) -> dict[str, Any] | None:
    if parsed.divergence is None:
        return None
    first = np.asarray(parsed.beam_frame.get("rot1", (1.0, 0.0, 0.0)))
    second = np.asarray(parsed.beam_frame.get("rot2", (0.0, 1.0, 0.0)))
    centre = parsed.beam_frame.get("centre", (0.0, 0.0, 0.0))
    along = np.cross(first, second)
    return {
        "centre": [10.0 * x for x in centre],
        "axes": [first.tolist(), second.tolist(), along.tolist()],
        "tilt": [0.1 / distance for distance in parsed.divergence],
    }
