"""OpenTelemetry traces, carried through events as W3C `traceparent`.

Without an endpoint the tracer is OpenTelemetry's no-op one, and `traceparent()` is None unless a
caller sent a context.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import context, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Link, Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

HEADER = "traceparent"
_propagator = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("kerma")


def configure_traces(
    service: str, endpoint: str | None, exporter: SpanExporter | None = None
) -> Callable[[], None]:
    """Send spans to the OTLP/HTTP collector at `endpoint`, if any; return the flush function.

    `exporter` replaces the collector in tests. Call this once per process: OpenTelemetry allows no
    more.
    """
    if exporter is None:
        if endpoint is None:
            return lambda: None
        # Slow to import, and most processes send nothing.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    provider = TracerProvider(
        resource=Resource.create({"service.name": service}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider.shutdown


def traceparent() -> str | None:
    """Return the current context as a message header, or None."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get(HEADER)


@contextmanager
def span(
    name: str,
    parent: str | None = None,
    *,
    links: Sequence[str] = (),
    kind: SpanKind = SpanKind.INTERNAL,
) -> Iterator[Span]:
    """Open a span below `parent` (a `traceparent`; default: the current one), linked to others.

    Batches pass the contexts of their messages as `links`.
    """
    above = _extract(parent) if parent else None
    linked = [Link(trace.get_current_span(_extract(other)).get_span_context()) for other in links]
    token = context.attach(above) if above is not None else None
    try:
        with _tracer.start_as_current_span(name, links=linked, kind=kind) as current:
            yield current
    finally:
        if token is not None:
            context.detach(token)


def _extract(header: str) -> context.Context:
    return _propagator.extract({HEADER: header})
