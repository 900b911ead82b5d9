"""GDML as a tree of elements with line numbers, parsed without entities and within bounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.parsers import expat  # entities need a DOCTYPE, which ends the parsing here

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH = 200
MAX_ELEMENTS = 400_000
_EXPRESSION = "expression"
_LONGEST_TEXT = 10_000


@dataclass(slots=True)
class Element:
    """One element: ``name`` without its namespace prefix, and the line where it begins.

    ``text`` is kept only for ``<expression>``, where it is the value.
    """

    name: str
    line: int
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def get(self, attribute: str) -> str:
        """Return an attribute, "" without it."""
        return self.attributes.get(attribute, "")

    def walk(self) -> Iterator[Element]:
        """Yield the element and all below it, in document order."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            yield element
            waiting.extend(reversed(element.children))


class Malformed(Exception):  # noqa: N818 - becomes a Problem
    """Why a document can't be parsed; ``line`` is 0 if no line is at fault."""

    def __init__(self, line: int, reason: str) -> None:
        self.line = line
        self.reason = reason
        super().__init__(reason)


def read(text: str) -> Element:
    """Return the root element. Raises Malformed."""
    reader = _Reader()
    try:
        reader.parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        raise Malformed(error.lineno, f"is no well-formed XML: {error}") from None
    except UnicodeEncodeError:
        raise Malformed(0, "is no well-formed XML: it is no valid Unicode") from None
    assert reader.root is not None, "expat refuses documents without an element"
    return reader.root


class _Reader:
    def __init__(self) -> None:
        self.root: Element | None = None
        self.parser = expat.ParserCreate("utf-8")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self._open: list[Element] = []
        self._count = 0

    def _doctype(self, *_: Any) -> None:
        line = self.parser.CurrentLineNumber
        raise Malformed(line, "a DOCTYPE and entities are not allowed")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        line = self.parser.CurrentLineNumber
        self._count += 1
        if self._count > MAX_ELEMENTS:
            raise Malformed(line, f"has more than {MAX_ELEMENTS} elements")
        if len(self._open) >= MAX_DEPTH:
            raise Malformed(line, f"is nested deeper than {MAX_DEPTH} elements")
        element = Element(name.rpartition(":")[2], line, attributes)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def _end(self, _name: str) -> None:
        self._open.pop()

    def _text(self, text: str) -> None:
        element = self._open[-1]
        if element.name == _EXPRESSION and len(element.text) < _LONGEST_TEXT:
            element.text += text
