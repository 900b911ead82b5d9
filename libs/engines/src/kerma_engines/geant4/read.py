"""Result files of a finished task as estimators."""

from __future__ import annotations

import json
import math
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kerma_engines.errors import ReadError
from kerma_engines.estimators import Axis, Estimator, MergeClass, Page
from kerma_engines.geant4.result_file import MAGIC

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kerma_engines.engine import InputSet, Output
    from kerma_engines.estimators import FloatArray
    from kerma_engines.geant4.macro import Mesh

_START = len(MAGIC) + 4
_MAX_HEADER = 1 << 20
_GY_PER_MEV_PER_G = 1.602176634e-10  # exact since the SI of 2019


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """One result file. Arrays are C order over ``shape``, read-only."""

    mesh: str
    primaries: int
    shape: tuple[int, int, int]
    sums: Mapping[str, FloatArray]
    squares: Mapping[str, FloatArray]


def read_scored(path: Path) -> Scored:
    """Read and check a result file. Raises ReadError naming the byte where it is wrong."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ReadError(path.name, "byte 0", error.strerror or "can't be read") from error

    def fail(offset: int, reason: str) -> ReadError:
        return ReadError(path.name, f"byte {offset}", reason)

    if content[: len(MAGIC)] != MAGIC:
        raise fail(0, "this is no result file of a Geant4 task")
    if len(content) < _START + 4:
        raise fail(len(content), "the file ends within its header")
    (size,) = struct.unpack_from("<I", content, len(MAGIC))
    if size > _MAX_HEADER or _START + size + 4 > len(content):
        raise fail(len(MAGIC), f"a header of {size} bytes does not fit the file")
    (checksum,) = struct.unpack_from("<I", content, len(content) - 4)
    try:
        header = json.loads(content[_START : _START + size])
        mesh, primaries, shape, names = _header(header)
    except (ValueError, KeyError, TypeError) as error:
        raise fail(_START, f"the header is not readable: {error}") from error
    bins = math.prod(shape)
    expected = _START + size + 16 * bins * len(names) + 4
    if len(content) != expected:
        raise fail(min(len(content), expected), f"{len(content)} bytes instead of {expected}")
    if zlib.crc32(content[:-4]) != checksum:
        raise fail(len(content) - 4, "the checksum does not match: the file is damaged")
    values = np.frombuffer(content, "<f8", 2 * bins * len(names), _START + size)
    columns = values.reshape(len(names), 2, bins)
    return Scored(
        mesh,
        primaries,
        shape,
        {name: columns[k, 0] for k, name in enumerate(names)},
        {name: columns[k, 1] for k, name in enumerate(names)},
    )


def _header(header: Any) -> tuple[str, int, tuple[int, int, int], list[str]]:
    x, y, z = (int(n) for n in header["shape"])
    primaries, names = int(header["primaries"]), [str(name) for name in header["scorers"]]
    if min(x, y, z, primaries) < 1 or len(set(names)) != len(names):
        raise ValueError("sizes and primaries must be positive, names different")
    return str(header["mesh"]), primaries, (x, y, z), names


@dataclass(frozen=True, slots=True)
class _Quantity:
    name: str
    unit: str
    factor: float = 1.0


#: Pages by project keyword: name and unit as SHIELD-HIT12A's results have them.
_PAGES = {
    "Dose": _Quantity("DOSE", "MeV/g/prim", 1.0 / _GY_PER_MEV_PER_G),
    "DoseGy": _Quantity("DOSE-GY", "Gy/prim"),
    "Energy": _Quantity("ENERGY", "MeV/prim"),
    "Fluence": _Quantity("FLUENCE", "1/cm2/prim"),
}

#: Pages of user-supplied macros, by Geant4's scorer command: name and default unit.
_SCORER_PAGES = {
    "doseDeposit": _Quantity("DOSE-GY", "Gy"),
    "energyDeposit": _Quantity("ENERGY", "MeV"),
    "cellFlux": _Quantity("FLUENCE", "percm2"),
    "passageCellFlux": _Quantity("PASSAGE-FLUENCE", "percm2"),
    "volumeFlux": _Quantity("VOLUME-FLUENCE", "percm2"),
    "flatSurfaceCurrent": _Quantity("SURFACE-CURRENT", "percm2"),
    "flatSurfaceFlux": _Quantity("SURFACE-FLUENCE", "percm2"),
    "cellCharge": _Quantity("CHARGE", "e+"),
    "trackLength": _Quantity("TRACK-LENGTH", "mm"),
    "passageTrackLength": _Quantity("PASSAGE-TRACK-LENGTH", "mm"),
    "minKinEAtGeneration": _Quantity("ENERGY-AT-GENERATION", "MeV"),
}
_UNITS = {"percm2": "1/cm2", "permm2": "1/mm2", "perm2": "1/m2"}


def scorer_page(kind: str, unit: str) -> dict[str, Any]:
    """Name and unit of a page of a user-supplied macro, per primary."""
    known = _SCORER_PAGES.get(kind, _Quantity(kind.upper(), unit))
    given = unit or known.unit
    per = f"{_UNITS.get(given, given)}/prim" if given else "1/prim"
    return {"page": known.name, "unit": per}


def estimators(
    directory: Path, inputs: InputSet, meshes: Mapping[str, Mesh]
) -> tuple[Estimator, ...]:
    """Estimators by the output map of the inputs."""
    pages: list[list[dict[str, Any]]] = inputs.options["pages"]
    files: dict[str, Scored] = {}
    result = []
    for output, page_options in zip(inputs.outputs, pages, strict=True):
        if output.file not in files:
            files[output.file] = read_scored(directory / output.file)
        scored = files[output.file]
        mesh = meshes.get(scored.mesh)
        if mesh is None or (mesh.shape != "volume" and mesh.dump_shape != scored.shape):
            raise ReadError(output.file, f"byte {_START}", "belongs to another mesh")
        result.append(_estimator(output, scored, mesh, page_options))
    return tuple(result)


def _estimator(
    output: Output, scored: Scored, mesh: Mesh, options: list[dict[str, Any]]
) -> Estimator:
    pages = tuple(
        _page(number, scored, option, output, mesh) for number, option in enumerate(options)
    )
    geometry = {"box": "MSH", "cylinder": "CYL", "volume": "ZONE"}[mesh.shape]
    metadata = {"geotyp": geometry, "geo_name": mesh.name, "mc_code_version": "Geant4 11.4.1"}
    return Estimator(output.name, output.file, scored.primaries, pages, metadata)


def _page(
    number: int,
    scored: Scored,
    option: dict[str, Any],
    output: Output,
    mesh: Mesh,
) -> Page:
    scorer = option["scorer"]
    if scorer not in scored.sums:
        raise ReadError(output.file, f"byte {_START}", f"has no scorer {scorer}")
    quantity = _PAGES.get(option.get("keyword", "")) or _Quantity(option["page"], option["unit"])
    factor = quantity.factor * float(option.get("rescale", 1.0))
    inner = int(option.get("rings_within", 0))
    sums = _fortran(scored.sums[scorer], scored.shape, mesh, inner) * factor
    squares = _fortran(scored.squares[scorer], scored.shape, mesh, inner) * factor**2
    chosen = output.quantities[number] if number < len(output.quantities) else None
    metadata = {"scorer": scorer}
    if chosen is not None and chosen.filter_name:
        metadata["page_filter_name"] = chosen.filter_name
    return Page(
        number=number,
        name=quantity.name,
        unit=quantity.unit,
        merge=MergeClass.PER_PRIMARY,
        axes=tuple(axis for axis in mesh_axes(mesh, inner) if axis.n > 1),
        values=sums / scored.primaries,
        errors=standard_errors(sums, squares, scored.primaries),
        sums=sums,
        squares=squares,
        metadata=metadata,
    )


def _fortran(values: FloatArray, shape: tuple[int, int, int], mesh: Mesh, inner: int) -> FloatArray:
    """From a dump's order (last axis fastest) to first axis fastest: x, y, z or r, phi, z.

    ``inner`` rings about the axis are left out.
    """
    cube = values.reshape(shape)
    if mesh.shape == "cylinder":
        cube = cube.transpose(2, 1, 0)[inner:]
    return np.ascontiguousarray(cube.flatten(order="F"))


def standard_errors(sums: FloatArray, squares: FloatArray, primaries: int) -> FloatArray | None:
    """Standard error of the mean per primary; None for a single primary."""
    if primaries < 2:
        return None
    mean = sums / primaries
    variance = np.maximum(squares / primaries - mean * mean, 0.0)
    errors: FloatArray = np.sqrt(variance / (primaries - 1))
    return errors


def mesh_axes(mesh: Mesh, inner: int = 0) -> tuple[Axis, ...]:
    """All axes of a mesh, first one fastest, positions in the world, less ``inner`` rings."""
    if mesh.shape == "volume":
        return ()
    if mesh.shape == "cylinder":
        radius, half = mesh.size
        n_r, n_z, n_phi = mesh.bins
        z = mesh.centre[2]
        return (
            Axis.linear("Radius (R)", "cm", radius * inner / n_r, radius, n_r - inner),
            Axis.linear("Angle (PHI)", "degrees", 0.0, 360.0, n_phi),
            Axis.linear("Position (Z)", "cm", z - half, z + half, n_z),
        )
    return tuple(
        Axis.linear(f"Position ({name})", "cm", centre - half, centre + half, n)
        for name, centre, half, n in zip("XYZ", mesh.centre, mesh.size, mesh.bins, strict=True)
    )
