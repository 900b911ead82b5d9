"""Logs, metrics and traces."""

import asyncio
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kerma_common.telemetry import metrics, traces
from kerma_common.telemetry.logs import JsonFormatter, bound, bound_fields, configure_logs
from kerma_common.telemetry.traces import configure_traces, span, traceparent

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-1bf7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logs("jobs", "INFO", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


async def test_bound_fields_follow_tasks_and_do_not_leak(lines: io.StringIO) -> None:
    async def work(job: str) -> None:
        with bound(job=job):
            await asyncio.sleep(0)
            logging.getLogger("x").info("at %s", "work", extra={"tasks": 8, "place": object})

    with bound(request="r1"):
        async with asyncio.TaskGroup() as group:
            group.create_task(work("a"))
            group.create_task(work("b"))
    records = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [(r["request"], r["job"], r["message"]) for r in records] == [
        ("r1", "a", "at work"),
        ("r1", "b", "at work"),
    ]
    assert records[0]["tasks"] == 8
    assert records[0]["service"] == "jobs"
    assert bound_fields() == {}


def test_a_record_is_one_line_even_with_an_error(lines: io.StringIO) -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("x").exception("failed\nbadly")
    (line,) = lines.getvalue().splitlines()
    assert "ValueError: two\nlines" in json.loads(line)["error"]


def test_fields_of_a_record_win_over_bound_ones_and_extra(lines: io.StringIO) -> None:
    own = ("time", "level", "service", "logger", "message", "trace", "error")
    with span("command", PARENT), bound(**dict.fromkeys(own, "bound"), job="a"):
        try:
            raise ValueError("why")
        except ValueError:
            # logging itself refuses `message`
            extra = {name: "extra" for name in own if name != "message"}
            logging.getLogger("x").exception("failed", extra={**extra, "tasks": 8})
    record = json.loads(lines.getvalue())
    assert {"bound", "extra"}.isdisjoint(record.values())
    assert tuple(record)[:5] == own[:5]
    told = {name: record[name] for name in ("level", "service", "logger", "message")}
    assert told == {"level": "ERROR", "service": "jobs", "logger": "x", "message": "failed"}
    assert record["trace"] == PARENT.split("-")[1]
    assert record["error"].endswith("ValueError: why")
    assert (record["job"], record["tasks"]) == ("a", 8)


class Mute:
    def __str__(self) -> str:
        raise LookupError("no text")


def test_what_json_cannot_hold_is_escaped_and_nothing_is_lost() -> None:
    ring: list[object] = []
    ring.append(ring)
    extra = {"file": "b\udcff", "large": 2**70, "ring": ring, "mute": Mute(), "k\ud800": 1}
    own = {"name": "x", "msg": "read %s", "args": ("a\udcfd",), **extra, "tasks": 8}
    with bound(job="j\udc80"):
        try:
            raise ValueError("c\udcfe")
        except ValueError:
            failed = logging.makeLogRecord({**own, "exc_info": sys.exc_info()})
        (line,) = JsonFormatter("jobs").format(failed).splitlines()
    record = json.loads(line)
    assert (record["message"], record["job"], record["file"]) == (
        "read a\\udcfd",
        "j\\udc80",
        "b\\udcff",
    )
    assert (record["large"], record["ring"], record["k\\ud800"]) == (str(2**70), "[[...]]", 1)
    assert record["mute"] == "<Mute without text: LookupError>"
    assert record["error"].endswith("ValueError: c\\udcfe")
    assert record["tasks"] == 8


@pytest.mark.parametrize(
    ("message", "arguments"), [("%d tasks", ("x",)), ("%s of %s", ("a\udc80",)), ("%s", (Mute(),))]
)
def test_a_message_that_its_arguments_do_not_fit_is_kept(
    message: str, arguments: tuple[object, ...]
) -> None:
    record = logging.LogRecord("x", logging.WARNING, "x.py", 1, message, arguments, None)
    (line,) = JsonFormatter("jobs").format(record).splitlines()
    assert json.loads(line)["message"].startswith(message)


def test_extra_may_tell_an_error_of_a_record_without_exception(lines: io.StringIO) -> None:
    logging.getLogger("x").warning("bus error", extra={"error": "TimeoutError()"})
    assert json.loads(lines.getvalue())["error"] == "TimeoutError()"


def test_records_carry_the_trace_they_belong_to(lines: io.StringIO) -> None:
    with span("command", PARENT):
        logging.getLogger("x").info("inside")
    logging.getLogger("x").info("outside")
    inside, outside = map(json.loads, lines.getvalue().splitlines())
    assert inside["trace"] == PARENT.split("-")[1]
    assert "trace" not in outside


def test_levels_below_the_configured_one_are_dropped(lines: io.StringIO) -> None:
    logging.getLogger("x").debug("hidden")
    assert lines.getvalue() == ""


def test_metrics_are_rendered() -> None:
    metrics.HTTP_REQUEST_SECONDS.labels("jobs", "GET", "/unit", "200").observe(0.003)
    assert b'le="0.004",method="GET",route="/unit"' in metrics.render()


def test_traces_are_carried_by_headers_and_batches_are_linked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def use(provider: TracerProvider) -> None:
        monkeypatch.setattr(traces, "_tracer", provider.get_tracer("kerma"))

    # OpenTelemetry's own setting is for good, and would change tests after this one.
    monkeypatch.setattr(trace, "set_tracer_provider", use)
    exporter = InMemorySpanExporter()
    assert traceparent() is None
    flush = configure_traces("jobs", None, exporter)
    with span("command", PARENT), span("append"):
        header = traceparent()
    with span("batch", links=[PARENT, OTHER]):
        pass
    assert traceparent() is None
    flush()
    assert header is not None
    append, command, batch = exporter.get_finished_spans()
    assert header.split("-")[1] == PARENT.split("-")[1]
    assert command.parent is not None
    assert command.context is not None
    assert append.parent is not None
    assert f"{command.parent.span_id:016x}" == PARENT.split("-")[2]
    assert append.parent.span_id == command.context.span_id
    assert [f"{link.context.span_id:016x}" for link in batch.links] == [
        PARENT.split("-")[2],
        OTHER.split("-")[2],
    ]


WITHOUT_ENDPOINT = """
from kerma_common.telemetry.traces import configure_traces, span, traceparent

flush = configure_traces("jobs", None)
with span("work") as current:
    print(current.is_recording(), traceparent())
flush()
"""


def test_without_an_endpoint_nothing_is_recorded() -> None:
    # OpenTelemetry allows one configuration per process, so this test starts another process.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ENDPOINT],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False None\n"
