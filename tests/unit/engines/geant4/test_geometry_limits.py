"""Geometry that exceeds the limits for Geant4 is refused with its line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from kerma_engines.errors import InvalidInput
from kerma_engines.geant4.engine import Geant4
from kerma_engines.geant4.gdml import size as gdml_size
from kerma_engines.geant4.gdml import tree as gdml_tree
from kerma_engines.geant4.gdml.tree import Element, read
from kerma_engines.geant4.gdml.values import Unknown, Values

MACRO = (Path(__file__).parent / "inputs" / "depth.mac").read_text()
HEAD = '<gdml><define>{define}</define>\n<solids>\n<box name="b" x="9" y="9" z="9" lunit="cm"/>\n'
SLAB = '<box name="s" x="9" y="9" z="1" lunit="mm"/>\n'
VOLUME = '<volume name="V"><materialref ref="G4_WATER"/><solidref ref="s"/></volume>\n'
WORLD = (
    '<volume name="World"><materialref ref="G4_WATER"/><solidref ref="b"/>\n{inside}\n</volume>\n'
)
TAIL = '</structure><setup name="Default" version="1.0"><world ref="World"/></setup></gdml>'
ALONG = (
    '<replicate_along_axis><direction z="1"/><width value="0.1" unit="mm"/>'
    '<offset value="0" unit="mm"/></replicate_along_axis>'
)


def document(*, define: str = "", solids: str = "", volumes: str = "", inside: str = "") -> str:
    world = WORLD.format(inside=inside)
    body = f"{SLAB}{solids}</solids>\n<structure>\n{VOLUME}{volumes}{world}"
    return HEAD.format(define=define) + body + TAIL


def replica(number: str) -> str:
    return f'<replicavol number="{number}"><volumeref ref="V"/>{ALONG}</replicavol>'


def division(attributes: str) -> str:
    return f'<divisionvol axis="kZAxis" unit="mm" {attributes}><volumeref ref="V"/></divisionvol>'


def verdict(text: str) -> list[str]:
    try:
        Geant4().accept_files({"g.gdml": text, "run.mac": MACRO})
    except InvalidInput as invalid:
        return [str(problem) for problem in invalid.problems]
    return []


DEFINED = (
    '<constant name="n" value="10^4"/><variable name="m" value="2*n"/><quantity name="q" '
    'value="2" unit="m"/><expression name="x">n*m</expression>'
    '<matrix name="a" coldim="2" values="1 2 300000 4"/><matrix name="row" coldim="1" values="7 8"/>'
)


@pytest.mark.parametrize(
    "number",
    [
        "9",
        "90/2",
        "n",
        "m+1",
        "a[1,2]",
        "row[2]",
        "q/mm",
        "2^3",
        "abs(-4)",
        "sqrt(n)",
        "1e2",
        " 9 ",
    ],
)
def test_copies_within_bounds_pass(number: str) -> None:
    assert verdict(document(define=DEFINED, inside=replica(number))) == []


@pytest.mark.parametrize(
    "number",
    [
        "1000000000",
        "10^9",
        "10**9",
        "n*m",
        "x",
        "a[2,1]",
        "q*n",
        "9^9^9",
        "exp(1000)",
        "pow(10,300)*1e300",
        "1/0",
        "0/0",
        "-5",
        "1.5",
        "nosuch",
        "n(3)",
        "f(3)",
        "(" * 200 + "1" + ")" * 200,
        "1+" * 3000 + "1",
        "0x7fffffff",
        "1;2",
        "n n",
        "a[1",
    ],
)
def test_too_many_copies_are_refused_with_their_line(number: str) -> None:
    text = document(define=DEFINED, inside=replica(number))
    (problem,) = verdict(text)
    assert problem.startswith("g.gdml:9: <replicavol>: number=")
    assert str(gdml_size.MAX_COPIES) in problem


@pytest.mark.parametrize(
    ("attributes", "passes"),
    [
        ('number="10" width="0.1"', True),
        ('number="10"', True),
        ('width="0.5"', True),
        ('width="1e-9"', False),
        ('width="0"', False),
        ('width="nosuch"', False),
        ('number="n*n"', False),
        ('number="n*n" width="0.1"', False),
        ("", False),
    ],
)
def test_divisions_are_bounded_by_number_or_width(attributes: str, *, passes: bool) -> None:
    problems = verdict(document(define=DEFINED, inside=division(attributes)))
    assert problems == [] if passes else problems[0].startswith("g.gdml:9: <divisionvol>")


def test_parameterised_volumes_are_bounded() -> None:
    inside = '<paramvol ncopies="{n}"><volumeref ref="V"/></paramvol>'
    assert verdict(document(inside=inside.format(n=3))) == []
    (problem,) = verdict(document(inside=inside.format(n="10^8")))
    assert "ncopies='10^8' is 100000000" in problem


def test_assemblies_within_assemblies_are_counted_out() -> None:
    placed = '<physvol><volumeref ref="{ref}"/></physvol>'
    volumes = f'<assembly name="a0">{placed.format(ref="V") * 2}</assembly>\n'
    for level in range(1, 30):
        twice = placed.format(ref=f"a{level - 1}") * 2
        volumes += f'<assembly name="a{level}">{twice}</assembly>\n'
    problems = verdict(document(volumes=volumes, inside=placed.format(ref="a29")))
    assert len(problems) == 1
    assert "placed volumes in all" in problems[0]


def test_solids_combined_from_one_another_are_counted_out() -> None:
    solids = ""
    for level in range(1, 31):
        first = "s" if level == 1 else f"u{level - 1}"
        solids += f'<union name="u{level}"><first ref="{first}"/><second ref="{first}"/></union>\n'
    problems = verdict(document(solids=solids))
    assert "combined from more than" in problems[0]
    chain = "".join(
        f'<union name="c{k}"><first ref="{f"c{k - 1}" if k else "s"}"/><second ref="s"/></union>'
        for k in range(gdml_size.MAX_SOLID_DEPTH + 1)
    )
    assert "levels" in verdict(document(solids=chain))[0]


def test_volumes_within_volumes_are_bounded() -> None:
    volumes = ""
    for level in range(gdml_size.MAX_VOLUME_DEPTH + 1):
        inner = f'<physvol><volumeref ref="d{level - 1}"/></physvol>' if level else ""
        volumes += (
            f'<volume name="d{level}"><materialref ref="G4_WATER"/><solidref ref="s"/>'
            f"{inner}</volume>\n"
        )
    assert "volumes deep" in verdict(document(volumes=volumes))[0]


@pytest.mark.parametrize(
    ("solid", "reason"),
    [
        ('<polyhedra name="p" numsides="10^6"><zplane z="1"/></polyhedra>', "numsides='10^6' is"),
        ('<twistedtubs name="p" nseg="1e9"/>', "nseg='1e9' is 1e+09"),
        ('<polycone name="p">' + '<zplane z="1"/>' * 10_001 + "</polycone>", "10000 points"),
        ('<xtru name="p">' + '<twoDimVertex x="1"/>' * 10_001 + "</xtru>", "10000 points"),
        ('<multiUnion name="p">' + "<multiUnionNode/>" * 10_001 + "</multiUnion>", "10000 points"),
        ('<tessellated name="p">' + "<triangular/>" * 200_001 + "</tessellated>", "200000 facets"),
    ],
)
def test_solids_of_too_many_parts_are_refused(solid: str, reason: str) -> None:
    (problem,) = verdict(document(solids=solid))
    assert problem.startswith("g.gdml:5: ")
    assert reason in problem


def test_elements_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gdml_tree, "MAX_ELEMENTS", 1000)
    assert "more than 1000 elements" in verdict(document(solids="<x/>" * 1000))[0]


def test_every_refusal_names_element_and_line() -> None:
    text = document(inside='<physvol><file name="/etc/passwd"/></physvol>').replace(
        "<structure>", '<structure>\n<loop for="i" to="9"/>'
    )
    problems = verdict(text)
    assert problems == [
        "g.gdml:7: <loop>: loops are not allowed",
        "g.gdml:10: <file>: geometry in further files is not allowed",
    ]


@pytest.mark.parametrize("kind", ["material", "element"])
def test_materials_that_geant4_can_not_tell_apart_are_refused(kind: str) -> None:
    twice = "".join(f'<{kind} name="Gel{suffix}"/>\n' for suffix in ("0x1a", "0x2b"))
    text = document().replace("<solids>", f"<materials>{twice}</materials><solids>")
    (problem,) = verdict(text)
    assert problem.startswith("g.gdml:3: ")
    assert "'Gel'" in problem


def test_names_that_are_given_twice_are_refused() -> None:
    (problem,) = verdict(document(volumes=VOLUME))
    assert problem.startswith("g.gdml:8: <volume name='V'>")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1+2*3", 7.0),
        ("(1+2)*3", 9.0),
        ("2^3^2", 64.0),
        ("-2^2", -4.0),
        ("2*-3", -6.0),
        ("7-2-1", 4.0),
        ("8/4/2", 1.0),
        ("1<2", 1.0),
        ("3==4", 0.0),
        ("2*cm", 20.0),
        ("180*deg", math.pi),
        ("min(3,max(1,2))", 2.0),
        ("", 0.0),
    ],
)
def test_expressions_have_their_value(text: str, value: float) -> None:
    assert Values().of(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["1+", "(1", "a", "1 2", "sin()", "pow(1)", "[1]", "$", "()"])
def test_what_is_no_expression_has_none(text: str) -> None:
    with pytest.raises(Unknown):
        Values().of(text)


def test_huge_matrices_define_nothing() -> None:
    values = Values()
    words = " ".join(["1"] * 200_000)
    values.define(Element("matrix", 1, {"name": "m", "coldim": "1", "values": words}))
    with pytest.raises(Unknown):
        values.of("m[1]")


def test_elements_know_their_lines() -> None:
    root = read('<?xml version="1.0"?>\n<a>\n  <x:b x="1"/>\n<expression>t\n</expression></a>')
    assert [(e.name, e.line, e.text.strip()) for e in root.walk()] == [
        ("a", 2, ""),
        ("b", 3, ""),
        ("expression", 4, "t"),
    ]


def test_malformed_definitions_define_nothing() -> None:
    define = "".join(
        f'<matrix name="m{k}" coldim="{columns}" values="1 2"/>'
        for k, columns in enumerate(("1e999", "0/0", "-1", "x", ""))
    )
    assert verdict(document(define=define, inside=replica("9"))) == []


def test_divisions_of_large_solids_are_judged_once() -> None:
    chain = "".join(
        f'<union name="c{k}"><first ref="{f"c{k - 1}" if k else "s"}"/><second ref="s"/></union>'
        for k in range(900)
    )
    divided = division('width="1"')
    volumes = "".join(
        f'<volume name="d{k}"><materialref ref="G4_WATER"/><solidref ref="c{k}"/>{divided}</volume>'
        for k in range(900)
    )
    problems = verdict(document(solids=chain, volumes=volumes))
    assert all("unknown number" in problem for problem in problems)
