"""Count the bins of TOPAS scorers.

After the TOPAS user guide, "Dividing Components", "Volume Scorers" and "Filtering Scorers": a
scorer has the divisions of its component, or its own, and bins of energy and time. The voxels of an
image are divisions too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerma_engines.adapter.bins import BinCount
from kerma_engines.adapter.files import whole
from kerma_engines.topas.convert.convert import PARAMETER_FILE
from kerma_engines.topas.parameters import gathered, resolved, scorers, text_of, truth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kerma_engines.adapter.port import InputSet
    from kerma_engines.topas.parameters import Parameter, Parameters

_AXES = ("xbins", "ybins", "zbins", "rbins", "phibins", "thetabins")
_VOXELS = {f"{axis}bins": f"numberofvoxels{axis}" for axis in "xyz"}
_IMAGES = ("dicom", "xio")
"""Types of components whose number of voxels stands in binary files."""


def scored_bins(inputs: InputSet) -> int:
    """Return the bins of all active scorers. Raises InvalidInput where they can't be counted."""
    counter = BinCount()
    count(gathered(str(inputs.options.get("main", PARAMETER_FILE)), inputs.files.get), counter)
    return counter.closed()


def count(found: Parameters, counter: BinCount) -> None:
    """Count the bins of all active scorers."""
    for settings in scorers(found).values():
        quantity = settings.get("quantity")
        if quantity is None or ("active" in settings and truth(found, settings["active"]) is False):
            continue
        factors = list(_factors(found, settings, counter))
        counter.add(quantity.place, quantity.name.split("/")[1], factors)


def _factors(
    found: Parameters, settings: Mapping[str, Parameter], counter: BinCount
) -> Iterator[int]:
    """Yield the bins along each axis."""
    component = _component(found, settings, counter)
    for axis in _AXES:
        # a scorer's own divisions replace those of the component; the larger number is safe
        own = _number(found, settings.get(axis), counter)
        divided = _number(found, found.get(f"ge/{component}/{axis}"), counter)
        voxels = _number(found, found.get(f"ge/{component}/{_VOXELS.get(axis)}"), counter)
        yield max(own, divided, voxels)
    for setting, parameter in settings.items():
        if setting.endswith("bins") and setting not in _AXES:
            yield _number(found, parameter, counter)


def _component(found: Parameters, settings: Mapping[str, Parameter], counter: BinCount) -> str:
    """Return the component that is scored in, in lower case; "" if there is none."""
    named = settings.get("component") or settings.get("surface")
    if named is None:
        return ""
    name = text_of(found, named)
    if name is None:
        reason = f"{named.name} names a component in a computed way; write the name itself"
        counter.refuse(named.place, reason)
        return ""
    component = name.split("/")[0].lower()
    kind = found.get(f"ge/{component}/type")
    if kind is not None and any(word in resolved(found, kind).lower() for word in _IMAGES):
        reason = f"{named.name} is a patient, whose voxels can't be counted; use a parallel box"
        counter.refuse(named.place, reason)
    return component


def _number(found: Parameters, parameter: Parameter | None, counter: BinCount) -> int:
    """Return a number of bins: 1 when absent or 0, the sum of a vector."""
    if parameter is None:
        return 1
    value = resolved(found, parameter)
    words = value.split()
    counts = [0 if word == "0" else whole(word) for word in words]
    known = [number for number in counts if number is not None]
    if not known or len(known) < len(counts):
        reason = f"{parameter.name} is no plain number: {value[:32]!r}; write the number itself"
        return counter.refuse(parameter.place, reason)
    return max(1, known[0] if len(known) == 1 else sum(known[1:]))
