"""A reader of TOPAS parameters, written apart from the converter: types, names, references."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_LINE = re.compile(r"^(?P<type>[a-z]{1,2}):(?P<name>\S+) = (?P<value>.*)$")
_NUMBER = r"-?\d+(\.\d+)?(e[-+]?\d+)?"
_UNITS = r"(cm|deg|rad|MeV|eV|g/cm3)"
_TEXT = r'"[^"]+"'
_TYPES = {
    "s": _TEXT,
    "b": r'"(True|False)"',
    "i": r"-?\d+",
    "u": _NUMBER,
    "d": rf"{_NUMBER} {_UNITS}",
    "sv": rf"\d+( {_TEXT})+",
    "uv": rf"\d+( {_NUMBER})+",
    "dv": rf"\d+( {_NUMBER})+ {_UNITS}",
}
_BUILT_IN = {"Vacuum"}
_DIVISIONS = {
    "TsBox": "X Y Z",
    "TsCylinder": "R Phi Z",
    "TsSphere": "R Phi Theta",
    "G4Ellipsoid": "",
    "Group": "",
}
SCORERS = {"DoseToMedium", "EnergyDeposit", "Fluence", "EnergyFluence", "ProtonLET"}
FILTERS = {"OfGeneration": "s", "Charged": "sv", "Named": "sv", "NotNamed": "sv"}
"""Those in use, with their types as the user guide gives them."""


@dataclass(frozen=True)
class Parameter:
    """A value without quotes, and its type."""

    type: str
    value: str

    @property
    def items(self) -> list[str]:
        """Of a vector."""
        return self.value.split()[1:]


def checked(text: str) -> dict[str, Parameter]:
    """All parameters; asserts that TOPAS would take them."""
    found: dict[str, Parameter] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = _LINE.match(line)
        assert match, line
        kind, name, value = match["type"], match["name"], match["value"]
        assert re.fullmatch(_TYPES[kind], value), line
        assert name.lower() not in {known.lower() for known in found}, f"twice: {name}"
        found[name] = Parameter(kind, value.replace('"', ""))
        if kind.endswith("v"):
            length = int(value.split()[0])
            quoted = re.findall(_TEXT, value) if kind == "sv" else found[name].items
            assert len(quoted) - (kind == "dv") == length, line
    _check_components(found)
    _check_scorers(found)
    return found


def _children(found: dict[str, Parameter], category: str) -> set[str]:
    return {name.split("/")[1] for name in found if name.startswith(f"{category}/")}


def _check_components(found: dict[str, Parameter]) -> None:
    components, materials = _children(found, "Ge"), _children(found, "Ma") | _BUILT_IN
    for name in components:
        assert found[f"Ge/{name}/Type"].value in _DIVISIONS
        if name != "World":
            assert found[f"Ge/{name}/Parent"].value in components - {name}
        material = found.get(f"Ge/{name}/Material")
        assert material is None or material.value in materials or material.value[:3] == "G4_"
    for world in found.get("Ph/Default/LayeredMassGeometryWorlds", Parameter("sv", "0")).items:
        assert found[f"Ge/{world}/IsParallel"].value == "True"
        assert f"Ge/{world}/Material" in found
    assert found["So/Beam/Component"].value in components


def _check_scorers(found: dict[str, Parameter]) -> None:
    files = [p.value.lower() for name, p in found.items() if name.endswith("/OutputFile")]
    assert len(files) == len(set(files))
    for name in _children(found, "Sc"):
        assert found[f"Sc/{name}/Quantity"].value in SCORERS
        component = found[f"Sc/{name}/Component"].value
        assert component != "World"
        assert component in _children(found, "Ge")
        assert found[f"Sc/{name}/OutputType"].value == "csv"
        for parameter, given in found.items():
            test = parameter.removeprefix(f"Sc/{name}/OnlyIncludeParticles")
            assert test == parameter or FILTERS[test] == given.type


def bins(found: dict[str, Parameter], scorer: str) -> int:
    """Bins of a scorer: of its component, and of energy."""
    component = found[f"Sc/{scorer}/Component"].value
    axes = _DIVISIONS[found[f"Ge/{component}/Type"].value].split()
    names = [f"Ge/{component}/{axis}Bins" for axis in axes] + [f"Sc/{scorer}/EBins"]
    return math.prod(int(found[name].value) for name in names if name in found)
