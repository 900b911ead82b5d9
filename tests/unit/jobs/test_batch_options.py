"""What users may tell a cluster's scheduler, and what is refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kerma_common.errors import InvalidRequest
from kerma_common.http.body.json_body import Unparsed
from kerma_jobs.app.batch_options import BatchOptions, parse_batch_options


def parsed(**options: Any) -> BatchOptions:
    return parse_batch_options({"batch_options": options})


def reasons(**options: Any) -> dict[str, Any]:
    with pytest.raises(InvalidRequest) as refused:
        parsed(**options)
    return {name.removeprefix("batch_options."): why for name, why in refused.value.fields.items()}


@pytest.mark.parametrize("body", [{}, {"batch_options": None}, {"batch_options": {}}])
def test_nothing_is_needed(body: dict[str, Any]) -> None:
    assert parse_batch_options(body) == BatchOptions()


def test_what_the_ui_sends() -> None:
    made = parsed(
        cluster_name="default",
        array_options={"time": "0:15:00", "account": "plgGRANT-cpu", "partition": "plgrid"},
        array_header="#SBATCH --mem=2G\n# a comment\nmodule load shieldhit\nexport X='a b'; cd $HOME\n",
        collect_options={},
        collect_header="",
        unknown="ignored",
    )
    assert made.cluster_name == "default"
    assert orjson.loads(made.encoded())["array_options"]["time"] == "0:15:00"


def test_short_names_and_dashes_are_the_long_names() -> None:
    made = parsed(array_options={"-t": "5", "--qos": "high", "c": "4"})
    assert made.array_options == {"time": "5", "qos": "high", "cpus-per-task": "4"}


def test_an_option_may_have_no_value() -> None:
    assert parsed(array_options={"exclusive": ""}).array_options == {"exclusive": ""}


@pytest.mark.parametrize(
    "name",
    [
        "array",
        "dependency",
        "wrap",
        "output",
        "error",
        "input",
        "chdir",
        "open-mode",
        "export",
        "export-file",
        "parsable",
        "uid",
        "gid",
        "get-user-env",
        "bcast",
        "container",
        "wait",
        "test-only",
        "clusters",
        "job_name",
        "TIME",
        "burst-buffer",
        "bb",
        "bbf",
        "a",
        "D",
        "o",
        "e",
        "i",
        "d",
        "M",
        "W",
        "H",
        "",
        "-",
        "time\n",
        "time=1",
        "time -x",
        "t" * 100,
    ],
)
def test_other_options_are_refused(name: str) -> None:
    assert list(reasons(array_options={name: "1"})) == [f"array_options.{name[:64]}"]
    if name.replace("-", "").isalnum():
        assert reasons(collect_header=f"#SBATCH --{name}=1")["collect_header"]


@pytest.mark.parametrize(
    "value",
    [
        "a b",
        "a;b",
        "$(id)",
        "`id`",
        "a\nb",
        "a\x00",
        "'",
        '"',
        "a|b",
        "a&",
        ">x",
        "\\",
        "é",
        "x" * 257,
        5,
        None,
        ["1"],
        {},
    ],
)
def test_other_values_are_refused(value: object) -> None:
    assert list(reasons(array_options={"time": value})) == ["array_options.time"]


@pytest.mark.parametrize(
    "line",
    [
        "#SBATCH --time=1:00 --mem 2G -p plgrid -c4 --exclusive",
        "  #SBATCH -t 5 # why",
        "#SBATCH",
        "#SBATCHES are comments",
        "\techo done",
        "ä=1",
    ],
)
def test_lines_of_a_header(line: str) -> None:
    assert parsed(array_header=line).array_header == line


@pytest.mark.parametrize(
    "line",
    [
        "#!/bin/bash",
        "#SBATCH --time='1",
        "#SBATCH --time=$(id)",
        "#SBATCH 5",
        "#SBATCH --mem 2G 3G",
        "#SBATCH -o/etc/passwd",
        "  #SBATCH --output=x",
        "#SBATCH\t--output=x",
        "a\rb",
        "a\x1b[0m",
        "a\x00b",
        "\u2028",
        "x" * 1025,
    ],
)
def test_lines_that_are_refused(line: str) -> None:
    (why,) = reasons(collect_header=f"# first\n{line}")["collect_header"]
    assert why.startswith("line 2: ")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cluster_name", 5),
        ("cluster_name", "x" * 129),
        ("array_options", []),
        ("array_options", {f"time{n}": "1" for n in range(33)}),
        ("array_header", 5),
        ("array_header", "x\n" * 101),
        ("array_header", "x" * 8193),
    ],
)
def test_other_types_and_sizes_are_refused(field: str, value: object) -> None:
    assert list(reasons(**{field: value})) == [field]


@pytest.mark.parametrize(
    "value",
    ["x", [], 5, Unparsed(list, b"[]"), Unparsed(dict, b'{"a":"' + b"x" * 40_000 + b'"}')],
)
def test_what_is_no_object_of_bounded_size_is_refused(value: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_batch_options({"batch_options": value})
    assert list(refused.value.fields) == ["batch_options"]


def test_options_of_a_large_body_are_read() -> None:
    header = "# x\n" * 90
    value = Unparsed(dict, orjson.dumps({"array_header": header}))
    assert parse_batch_options({"batch_options": value}).array_header == header
