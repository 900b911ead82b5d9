"""Files that TOPAS parameters name: which may be read and written, and where.

After the TOPAS user guide: "Phase Space Sources", "Dividing Components", "Patient in DICOM Format",
"Generic CAD", "Graphics" and "Output Specification". A parameter that takes a file must name one
that came with the input. Any other value with a path that leads out of the work folder is
refused too, since users can give TOPAS extensions with their own parameters.

CAD components (``TsCAD``) name their file without its ending, which TOPAS adds after ``FileFormat``
(``geometry/TsCADComponent.cc`` of OpenTOPAS). Inputs are text, so a binary STL file can't be given.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kerma_engines.adapter.files import why_not_beside, why_not_given
from kerma_engines.errors import Problem
from kerma_engines.topas.parameters import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kerma_engines.topas.parameters import Parameter, Parameters

_QUOTED = re.compile(r'"([^"]*)"')
_PHASE_SPACE = (".header", ".phsp")
"""A phase space is named without these endings and read from both files."""
_CAD = {"ply": (".ply",), "tet": (".node", ".ele")}
"""The endings of CAD files by format."""

_READ = re.compile(
    r"ge/.+/(inputfile|filename|structurefile|materialfile|imagingtomaterialconverterfile)"
    r"|so/.+/(phasespacefilename|inputfile|filename|spectrumfile)"
    r"|sc/.+/(inputfile|filename|referencefile|weightfile)"
    r"|tf/.+/(file|filename|inputfile)"
)
_FOLDERS = re.compile(r".+/(inputdirectory|dicomdirectory|directory|inputfolder)")
_WRITTEN = re.compile(r"gr/.+/filename|ts/.+file|sc/.+/outputfile")
_FILES = re.compile(r".*(file|filename|filenames|directory|folder|path|filepath)")
_KNOWN_WORDS = {"includefile", "ts/restoreresultsfromfile"}
_HERE = {"", ".", "./"}


def path_problems(found: Parameters, files: Mapping[str, str]) -> Iterator[Problem]:
    """Return the parameters that name files which TOPAS may not open."""
    for parameter in found.values():
        if parameter.key in _KNOWN_WORDS:
            continue
        reason = _file_reason(found, parameter, files) or _path_reason(parameter)
        if reason:
            yield Problem(parameter.place, f"{parameter.name} {reason}")


def _file_reason(found: Parameters, parameter: Parameter, files: Mapping[str, str]) -> str:
    """Return why a parameter that takes a file is refused, or ""."""
    key = parameter.key
    if not _FILES.fullmatch(key) or not _is_text(found, parameter):
        return ""
    value = text_of(found, parameter)
    if value is None:
        return "names a file in a computed way; write the name itself"
    shown = repr(value[:64])
    if _FOLDERS.fullmatch(key):
        return "" if value in _HERE else f"names the folder {shown}; only the work folder is read"
    if _WRITTEN.fullmatch(key):
        reason = why_not_beside(value)
    elif _READ.fullmatch(key):
        reason = _why_unread(found, key, value, files)
    else:
        return f"names a file, {shown}, in a way that is not allowed"
    return f"names {shown}, which {reason}" if reason else ""


def _is_text(found: Parameters, parameter: Parameter) -> bool:
    """Return whether a value is text; a number or boolean names no file."""
    value = text_of(found, parameter)
    bare = parameter.value if value is None else value
    return not re.fullmatch(r"[-+.\deE]+( \w+)?|true|false|t|f", bare.lower())


def _why_unread(found: Parameters, key: str, value: str, files: Mapping[str, str]) -> str:
    """Return why TOPAS may not read the files that it makes of ``value``, or ""."""
    endings: tuple[str, ...] = ("",)
    component, _, name = key.rpartition("/")
    if name == "phasespacefilename":
        endings = _PHASE_SPACE
    elif name == "inputfile" and _lower(found, f"{component}/type") == "tscad":
        wanted = _lower(found, f"{component}/fileformat")
        if wanted == "stl":
            return 'would be a binary STL file, but inputs are text; use the format "ply" or "tet"'
        if wanted not in _CAD:
            return 'needs the FileFormat "ply" or "tet"'
        endings = _CAD[wanted]
    for ending in endings:
        if reason := why_not_given(value + ending, files):
            return f"with {ending} {reason}" if ending else reason
    return ""


def _lower(found: Parameters, key: str) -> str:
    """Return the text of a parameter in lower case, or "" without it."""
    parameter = found.get(key)
    return ("" if parameter is None else text_of(found, parameter) or "").lower()


def quoted(parameter: Parameter) -> list[str]:
    """Return the quoted texts of a value."""
    return _QUOTED.findall(parameter.value)


def _path_reason(parameter: Parameter) -> str:
    """Return why a parameter is refused: a quoted text is a path out of the work folder."""
    for text in quoted(parameter):
        for word in text.split():
            reason = why_not_beside(word)
            if reason and reason != "is no plain file name":
                return f"holds {word[:64]!r}, which {reason}"
    return ""
