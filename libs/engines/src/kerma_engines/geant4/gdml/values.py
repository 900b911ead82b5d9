"""Evaluate expressions in GDML, within bounds.

Geant4 evaluates them with CLHEP's evaluator: numbers, names, ``+ - * /``, ``^`` or ``**``,
comparisons, functions, and elements of matrices such as ``m[2,1]``, which are separate constants
(``G4GDMLEvaluator``). Only what counts of copies depend on is evaluated here.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kerma_engines.geant4.gdml.tree import Element

_LONGEST = 2000
_DEEPEST = 50
_LONGEST_MATRIX = 2_000_000
_MOST_VALUES = 100_000

_TOKEN = re.compile(
    r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|([A-Za-z_]\w*)"
    r"|(\*\*|==|!=|<=|>=|&&|\|\||[-+*/^()<>,\[\]]))"
)
#: The precedence of operators.
_BINDS = {"||": 1, "&&": 2}
_BINDS |= dict.fromkeys(("==", "!="), 3)
_BINDS |= dict.fromkeys(("<", ">", "<=", ">="), 4)
_BINDS |= {"+": 5, "-": 5, "*": 6, "/": 6, "^": 8, "**": 8}
_UNARY = 7

#: Lengths in mm and angles in rad, as Geant4 sets up the evaluator.
UNITS = {
    "pc": 3.0856775807e19, "km": 1e6, "m": 1e3, "cm": 10.0, "mm": 1.0, "um": 1e-3, "nm": 1e-6,
    "angstrom": 1e-7, "fermi": 1e-12, "kilometer": 1e6, "meter": 1e3, "centimeter": 10.0,
    "millimeter": 1.0, "micrometer": 1e-3, "nanometer": 1e-6, "rad": 1.0, "radian": 1.0,
    "mrad": 1e-3, "milliradian": 1e-3, "deg": math.pi / 180, "degree": math.pi / 180,
}  # fmt: skip
_CONSTANTS = {"pi": math.pi, "e": math.e, "gamma": 0.577215664901532861, **UNITS}

_FUNCTIONS: dict[str, tuple[int, Callable[..., float]]] = {
    "abs": (1, abs), "min": (2, min), "max": (2, max), "sqrt": (1, math.sqrt),
    "pow": (2, math.pow), "sin": (1, math.sin), "cos": (1, math.cos), "tan": (1, math.tan),
    "asin": (1, math.asin), "acos": (1, math.acos), "atan": (1, math.atan),
    "atan2": (2, math.atan2), "sinh": (1, math.sinh), "cosh": (1, math.cosh),
    "tanh": (1, math.tanh), "exp": (1, math.exp), "log": (1, math.log),
    "log10": (1, math.log10),
}  # fmt: skip


class Unknown(Exception):  # noqa: N818 - the caller decides whether it matters
    """An expression that can't be evaluated."""


class Values:
    """The definitions of a document, read element by element."""

    def __init__(self) -> None:
        self._known: dict[str, float] = dict(_CONSTANTS)

    def define(self, element: Element) -> None:
        """Add a child of ``<define>``; whatever can't be evaluated stays undefined."""
        try:
            if element.name in {"constant", "variable"}:
                self._known[element.get("name")] = self.of(element.get("value"))
            elif element.name == "expression":
                self._known[element.get("name")] = self.of(element.text)
            elif element.name == "quantity":
                unit = UNITS.get(element.get("unit"), math.nan) if element.get("unit") else 1.0
                self._known[element.get("name")] = self.of(element.get("value")) * unit
            elif element.name == "matrix":
                self._define_matrix(element)
        except (Unknown, ValueError, OverflowError):
            return

    def _define_matrix(self, element: Element) -> None:
        columns = int(self.of(element.get("coldim")))
        if len(element.get("values")) > _LONGEST_MATRIX:
            raise Unknown
        words = element.get("values").split()
        if columns < 1 or len(self._known) + len(words) > _MOST_VALUES:
            raise Unknown
        single = columns in {1, len(words)}
        for place, word in enumerate(words):
            row, column = divmod(place, columns)
            index = f"_{place}" if single else f"_{row}_{column}"
            self._known[element.get("name") + index] = self.of(word)

    def of(self, expression: str) -> float:
        """Return the value; infinite or NaN where it overflows. Raises Unknown."""
        if len(expression) > _LONGEST:
            raise Unknown
        if not expression.strip():
            return 0.0  # as in Geant4
        try:
            return _Expression(expression, self._known).value()
        except OverflowError:
            return math.inf
        except (ValueError, ZeroDivisionError):
            return math.nan


class _Expression:
    """One expression, parsed from left to right by operator precedence."""

    def __init__(self, text: str, known: dict[str, float]) -> None:
        self._known = known
        self._tokens: list[tuple[str, str]] = []
        self._place = 0
        self._depth = 0
        at, text = 0, text.strip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise Unknown
            number, name, sign = match.groups()
            kind = "number" if number else "name" if name else "sign"
            self._tokens.append((kind, number or name or sign))
            at = match.end()

    def value(self) -> float:
        found = self._binary(0)
        if self._place != len(self._tokens):
            raise Unknown
        return found

    def _next(self) -> tuple[str, str]:
        if self._place >= len(self._tokens):
            return "end", ""
        return self._tokens[self._place]

    def _take(self, sign: str) -> bool:
        if self._next() != ("sign", sign):
            return False
        self._place += 1
        return True

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            raise Unknown

    def _binary(self, least: int) -> float:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise Unknown
        left = self._operand()
        while True:
            kind, sign = self._next()
            strength = _BINDS.get(sign, -1) if kind == "sign" else -1
            if strength < max(least, 1):
                self._depth -= 1
                return left
            self._place += 1
            left = _apply(sign, left, self._binary(strength + 1))

    def _operand(self) -> float:
        kind, word = self._next()
        self._place += 1
        if kind == "number":
            return float(word)
        if kind == "name":
            return self._named(word)
        if word in {"+", "-"}:
            found = self._binary(_UNARY)
            return -found if word == "-" else found
        if word == "(":
            found = self._binary(0)
            self._need(")")
            return found
        raise Unknown

    def _named(self, name: str) -> float:
        if self._take("("):
            return self._call(name)
        if self._take("["):
            # elements count from 1 in expressions, from 0 in the names of their constants
            while True:
                name += f"_{int(self._binary(0)) - 1}"
                if not self._take(","):
                    break
            self._need("]")
        if name not in self._known:
            raise Unknown
        return self._known[name]

    def _call(self, name: str) -> float:
        if name not in _FUNCTIONS:
            raise Unknown
        count, function = _FUNCTIONS[name]
        arguments = [self._binary(0)]
        while len(arguments) < count:
            self._need(",")
            arguments.append(self._binary(0))
        self._need(")")
        return float(function(*arguments))


def _apply(sign: str, a: float, b: float) -> float:
    if sign in {"^", "**"}:
        return math.pow(a, b)
    if sign == "/":
        return a / b
    return float(_OPERATIONS[sign](a, b))


_OPERATIONS: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "&&": lambda a, b: bool(a) and bool(b),
    "||": lambda a, b: bool(a) or bool(b),
}
