"""One trace from a job's submission through ticket, worker and engine to the published page."""

from __future__ import annotations

from kit.inputs.projects import submission
from kit.programs.family import PATIENCE, eventually
from kit.running.network.otlp import collector
from kit.running.whole import whole

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TOLD = {
    ("kerma", "POST /jobs/direct"),
    ("kerma", "QueueTasks"),
    ("worker", "ticket"),
    ("kerma", "rpc.runner.claim"),
    ("worker", "task"),
    ("kerma", "rpc.runner.start"),
    ("worker", "engine geant4"),
    ("kerma", "rpc.runner.report"),
    ("kerma", "SettleTasks"),
    ("kerma", "OpenResultSet"),
    ("kerma", "merge"),
    ("kerma", "CompleteJob"),
}


def test_one_trace_tells_the_whole_way_of_a_job() -> None:
    with collector() as spans, whole(KERMA_TELEMETRY_OTLP_ENDPOINT=spans.url) as kerma:
        kerma.up()
        visitor = kerma.visitor().enter()
        visitor.http.headers["traceparent"] = f"00-{TRACE}-00f067aa0ba902b7-01"
        job = visitor.submit(submission(200, 2))
        del visitor.http.headers["traceparent"]
        visitor.until(job, "COMPLETED")
        visitor.close()

        def told() -> bool:
            return {(span.process, span.name) for span in spans.of(TRACE)} >= TOLD

        eventually(told, PATIENCE, f"{TOLD} among the spans")
        found = spans.of(TRACE)
        ids = {span.id for span in found} | {"00f067aa0ba902b7"}
        # no span is detached: each has a parent within the trace
        assert [span for span in found if span.parent not in ids] == []
        assert sum(span.name == "engine geant4" for span in found) == 2
        assert kerma.program is not None
