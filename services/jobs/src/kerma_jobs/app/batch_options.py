"""``batch_options`` of a submission: what a cluster's scheduler gets of a user's wishes.

Options become ``--name=value`` of ``sbatch``. Their names come from a list, because others start
programs, read and write files, or change what Kerma itself sets (the array, dependencies, output).
Values are of characters that mean nothing to a shell. A header is put at the top of a script, which
runs with the user's own rights on the cluster: any shell line is allowed, but its ``#SBATCH`` lines
follow the rules for options.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from kerma_common.errors import WRONG_DATA, InvalidRequest
from kerma_common.http.body.json_body import Unparsed

OPTIONS = frozenset(
    [
        "account",
        "acctg-freq",
        "begin",
        "comment",
        "constraint",
        "contiguous",
        "core-spec",
        "cores-per-socket",
        "cpu-freq",
        "cpus-per-gpu",
        "cpus-per-task",
        "deadline",
        "delay-boot",
        "distribution",
        "exclude",
        "exclusive",
        "gpu-bind",
        "gpu-freq",
        "gpus",
        "gpus-per-node",
        "gpus-per-socket",
        "gpus-per-task",
        "gres",
        "gres-flags",
        "hint",
        "job-name",
        "licenses",
        "mail-type",
        "mail-user",
        "mem",
        "mem-bind",
        "mem-per-cpu",
        "mem-per-gpu",
        "mincpus",
        "network",
        "nice",
        "no-kill",
        "no-requeue",
        "nodefile",
        "nodelist",
        "nodes",
        "ntasks",
        "ntasks-per-core",
        "ntasks-per-gpu",
        "ntasks-per-node",
        "ntasks-per-socket",
        "overcommit",
        "oversubscribe",
        "partition",
        "power",
        "prefer",
        "priority",
        "profile",
        "propagate",
        "qos",
        "reboot",
        "requeue",
        "reservation",
        "signal",
        "sockets-per-node",
        "spread-job",
        "switches",
        "thread-spec",
        "threads-per-core",
        "time",
        "time-min",
        "tmp",
        "use-min-nodes",
        "wait-all-nodes",
        "wckey",
    ]
) - {"nodefile", "reboot"}
"""Long names of the options of ``sbatch`` that users may set."""
SHORT = {
    "A": "account",
    "B": "extra-node-info",
    "C": "constraint",
    "G": "gpus",
    "J": "job-name",
    "L": "licenses",
    "N": "nodes",
    "O": "overcommit",
    "S": "core-spec",
    "b": "begin",
    "c": "cpus-per-task",
    "k": "no-kill",
    "m": "distribution",
    "n": "ntasks",
    "p": "partition",
    "q": "qos",
    "s": "oversubscribe",
    "t": "time",
    "w": "nodelist",
    "x": "exclude",
}
MOST_OPTIONS = 32
LONGEST_VALUE = 256
LONGEST_HEADER = 8192
MOST_LINES = 100
LONGEST_LINE = 1024
LONGEST_CLUSTER = 128
DEFAULTS = {"time": "00:59:59"}
_VALUE = re.compile(r"[A-Za-z0-9_.,:=/@%+\[\]*-]*", re.ASCII)
_DIRECTIVE = re.compile(r"#SBATCH(?:(?:\s+|(?=-))(.*))?", re.DOTALL)
_FOREIGN = ("#PBS", "#BSUB")
"""``sbatch`` obeys lines for other schedulers, too."""


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """Checked options.

    Without ``exact``, ``cluster_name`` need not name a cluster that exists: as in YAPTIDE, the first
    one takes the job then.
    """

    cluster_name: str = ""
    array_options: Mapping[str, str] = field(default_factory=dict)
    collect_options: Mapping[str, str] = field(default_factory=dict)
    array_header: str = ""
    collect_header: str = ""
    exact: bool = False

    def encoded(self) -> bytes:
        """Return what the gateway of the cluster reads, as JSON."""
        return orjson.dumps(
            {
                "array_options": {**DEFAULTS, **self.array_options},
                "collect_options": {**DEFAULTS, **self.collect_options},
                "array_header": self.array_header,
                "collect_header": self.collect_header,
            },
            option=orjson.OPT_SORT_KEYS,
        )


def parse_batch_options(body: Mapping[str, Any]) -> BatchOptions:
    """Parse ``batch_options`` of a body. Raises InvalidRequest naming every invalid field."""
    found = body.get("batch_options")
    if isinstance(found, Unparsed):
        found = orjson.loads(found.json) if len(found.json) <= 4 * LONGEST_HEADER else "too large"
    if found is None:
        return BatchOptions()
    faults: dict[str, list[str]] = {}
    if not isinstance(found, dict):
        raise InvalidRequest(WRONG_DATA, {"batch_options": ["Not an object of bounded size."]})
    made = BatchOptions(
        _cluster(found.get("cluster_name"), faults),
        _options(found.get("array_options"), "array_options", faults),
        _options(found.get("collect_options"), "collect_options", faults),
        _header(found.get("array_header"), "array_header", faults),
        _header(found.get("collect_header"), "collect_header", faults),
    )
    if faults:
        named = {f"batch_options.{place}": reasons for place, reasons in faults.items()}
        raise InvalidRequest(WRONG_DATA, named)
    return made


def _cluster(value: object, faults: dict[str, list[str]]) -> str:
    if value is None:
        return ""
    if isinstance(value, str) and len(value) <= LONGEST_CLUSTER:
        return value
    faults["cluster_name"] = [f"Not a string of at most {LONGEST_CLUSTER} characters."]
    return ""


def _options(value: object, place: str, faults: dict[str, list[str]]) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > MOST_OPTIONS:
        faults[place] = [f"Must be an object of at most {MOST_OPTIONS} options and their values."]
        return {}
    made: dict[str, str] = {}
    for name, given in value.items():
        reason = _wrong(name, given)
        if reason is None:
            made[_long(name)] = given
        else:
            faults[f"{place}.{name[:64]}"] = [reason]
    return made


def _long(name: str) -> str:
    bare = name.lstrip("-")
    return SHORT.get(bare, bare)


def _wrong(name: str, value: object) -> str | None:
    """Return why an option is refused."""
    if len(name) > len("--") + 64 or _long(name) not in OPTIONS:
        return "Not an option of sbatch that may be set here."
    if not isinstance(value, str) or len(value) > LONGEST_VALUE or not _VALUE.fullmatch(value):
        return f"Must be a string of at most {LONGEST_VALUE} letters, digits and _ . , : = / @ % + * [ ] -"
    return None


def _header(value: object, place: str, faults: dict[str, list[str]]) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > LONGEST_HEADER:
        faults[place] = [f"Not a string of at most {LONGEST_HEADER} characters."]
        return ""
    lines = value.split("\n")
    if len(lines) > MOST_LINES:
        faults[place] = [f"Has more than {MOST_LINES} lines."]
        return ""
    reasons = [
        f"line {number}: {reason}"
        for number, line in enumerate(lines, start=1)
        if (reason := _wrong_line(line)) is not None
    ]
    if reasons:
        faults[place] = reasons[:10]
    return value


def _wrong_line(line: str) -> str | None:
    """Return why a line of a header is refused."""
    if len(line) > LONGEST_LINE:
        return f"More than {LONGEST_LINE} characters."
    if not line.replace("\t", " ").isprintable():
        return "Holds a character that cannot be printed."
    if line.startswith("#!"):
        return "Kerma chooses the interpreter."
    if line.strip().startswith(_FOREIGN):
        return "Is for another scheduler, but sbatch obeys it; write #SBATCH."
    if (directive := _DIRECTIVE.fullmatch(line.strip())) is not None:
        return _wrong_directive(directive[1] or "")
    return None


def _wrong_directive(text: str) -> str | None:
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        return "Has a quote without an end."
    pending = ""
    for word in words:
        if pending and not word.startswith("-"):
            if (reason := _wrong(pending, word)) is not None:
                return f"{pending}: {reason}"
            pending = ""
            continue
        name, value = _split(word)
        if (reason := _wrong(name, value)) is not None:
            return f"{word[:64]}: {reason}"
        pending = "" if value else name
    return None


def _split(word: str) -> tuple[str, str]:
    """Return name and value of ``--name=value``, ``--name``, ``-xvalue`` or ``-x``."""
    if word.startswith("--"):
        name, _, value = word.partition("=")
        return name, value
    if word.startswith("-"):
        return word[:2], word[2:].removeprefix("=")
    return word, ""
